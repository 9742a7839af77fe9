//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
	"github.com/leasehold/leasehold/protocol/starttls"
)

// The enemies' networks behind their host: of the first the policy knows every address, of the second none.
const (
	membersNet   = "fd00:bad::/64"
	strangersNet = "fd00:dead::/64"
)

// How many connections there may be, in all and of one address.
const (
	hostileLimit  = 200
	hostilePlaces = 30
)

// hostileLab is a node of the built program that is attacked from one host and asked by good requestors on another.
type hostileLab struct {
	t         *testing.T
	node      *nsNode
	good, bad *netlab.Host
	world     *hostileWorld
	dir       string // certificates
}

// newHostileLab starts the node. set is configuration laid over its own.
func newHostileLab(t *testing.T, w *hostileWorld, set ...string) *hostileLab {
	t.Helper()
	l := &hostileLab{t: t, world: w, dir: t.TempDir()}
	authority := &tlsNode{t: t, dir: l.dir}
	authority.issue("ca")
	authority.issue("requestor", "good")
	authority.issue("requestor", "bad")
	// Hosts have addresses in the order in which they are made.
	c := newNSCluster(t, 1)
	l.node, l.good, l.bad = c.Nodes[0], c.Lab.Host("good"), c.Lab.Host("bad")
	authority.issue("server", l.node.Host.Addr.String(), "--out", "node")
	l.node.configure(t, append([]string{
		"tls.mode=optional", "tls.certificate=" + l.path("node.pem"), "tls.key=" + l.path("node.key"), "tls.requestor_ca=" + l.path("ca.pem"),
		"active.enabled=true", "active.insecure=true", fmt.Sprintf("bulk.max_connections=%d", hostileLimit), fmt.Sprintf("bulk.max_connections_per_requestor=%d", hostilePlaces),
		fmt.Sprintf(`requestors=[{name: good, prefixes: ["%v/128", "::1/128"], names: [good]},`+
			`{name: bad, prefixes: ["%v/128", "%s"], names: [bad], relayed: allow}]`, l.good.Addr, l.bad.Addr, membersNet),
	}, set...))
	for _, network := range []string{membersNet, strangersNet} {
		l.bad.Run("ip", "-6", "route", "add", "local", network, "dev", "lo")
		l.node.Host.Run("ip", "-6", "route", "add", network, "via", l.bad.Addr.String())
	}
	l.bad.Sysctl("net/ipv6/ip_nonlocal_bind", "1")
	l.node.Start()
	c.AwaitReady(t)
	return l
}

func (l *hostileLab) path(name string) string { return filepath.Join(l.dir, name) }

// client is the requestor's side of TLS of somebody.
func (l *hostileLab) client(as string) *starttls.Client {
	l.t.Helper()
	c, err := starttls.NewClient(starttls.ClientFiles{CA: l.path("ca.pem"), Certificate: l.path(as + ".pem"), Key: l.path(as + ".key")})
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

// leaseCount counts the clients of the answers that come on a connection until the peer ends it or done answers are complete, and fails on
// octets that are no messages.
func (l *hostileLab) leaseCount(c net.Conn, done int) (clients int, err error) {
	frames := dhcpv6.NewReader(c, nil)
	for done > 0 {
		frame, err := frames.Next()
		if err != nil {
			return clients, err
		}
		m, err := dhcpv6.ParseMessage(frame)
		if err != nil {
			return clients, fmt.Errorf("%w: %w", errImpossible, err)
		}
		switch _, holds := m.Options.First(dhcpv6.OptionClientData); {
		case m.Type == dhcpv6.MessageLeasequeryReply || m.Type == dhcpv6.MessageLeasequeryData:
			if holds {
				clients++
			}
			if _, alone := m.Options.First(dhcpv6.OptionStatusCode); m.Type == dhcpv6.MessageLeasequeryReply && (alone || !holds) {
				done--
			}
		case m.Type == dhcpv6.MessageLeasequeryDone:
			done--
		default:
			return clients, fmt.Errorf("%w: a message of type %v", errImpossible, m.Type)
		}
	}
	return clients, nil
}

// requestorOf is a good requestor's side.
func (l *hostileLab) requestorOf(tls *starttls.Client) requestor.Config {
	c := nsRequestor(l.good)
	c.TLS = tls
	c.DataTimeout = time.Minute
	return c
}

// openRaw opens a raw socket on the enemies' host, whose packets have the headers that they are given.
func (l *hostileLab) openRaw() int {
	l.t.Helper()
	raw := -1
	err := l.bad.Do(func() (err error) {
		raw, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		return err
	})
	if err != nil {
		l.t.Fatalf("raw socket: %v", err)
	}
	l.t.Cleanup(func() {
		if err := unix.Close(raw); err != nil && !errors.Is(err, unix.EBADF) {
			l.t.Error(err)
		}
	})
	return raw
}
