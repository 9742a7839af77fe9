//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
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
	hostileLimit  = 400
	hostilePlaces = 50
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
	l.node.writeConfig(t, []string{l.node.Host.AddrPort(5472)}, append([]string{
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

// hostileSpan is how long the long part of a test takes: LEASEHOLD_SOAK, or what ordinary runs have time for.
func hostileSpan(t *testing.T, ordinary time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv("LEASEHOLD_SOAK")
	if text == "" {
		return ordinary
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("LEASEHOLD_SOAK: %v", err)
	}
	return d
}

// enemy is one who attacks: what its strikes need.
type enemy struct {
	lab    *hostileLab
	ctx    context.Context // ends when the attack does
	rng    *rand.Rand
	mutate *mutator
	tls    *starttls.Client
	raw    int           // a raw socket that says who it is from
	struck *atomic.Int64 // strikes that have done what they could, of all who make the same attack

	mu   sync.Mutex
	over bool
	open []*net.TCPConn // of the strike that goes on
}

func newEnemy(ctx context.Context, l *hostileLab, seed, number uint64, tls *starttls.Client, raw int, struck *atomic.Int64) *enemy {
	rng := rand.New(rand.NewPCG(seed, number))
	return &enemy{lab: l, ctx: ctx, rng: rng, mutate: &mutator{rng: rng, world: l.world}, tls: tls, raw: raw, struck: struck}
}

// somewhere is an address of one of the enemies' networks.
func (e *enemy) somewhere(network string) netip.Addr {
	a := netip.MustParsePrefix(network).Addr().As16()
	for i := 8; i < 16; i++ {
		a[i] = byte(e.rng.Uint32())
	}
	return netip.AddrFrom16(a)
}

// patience bounds every wait of an enemy, so that its attack ends.
const enemyPatience = 3 * time.Second

// dial connects from an address, or from the host's own if that is the zero Addr. It returns nil if the node does not take the connection.
func (e *enemy) dial(from netip.Addr) *net.TCPConn {
	d := net.Dialer{Timeout: enemyPatience}
	if from.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: from.AsSlice()}
	}
	c, err := e.lab.bad.Dial(e.ctx, d, "tcp6", e.lab.node.Leasequery)
	if err != nil {
		return nil
	}
	tcp := c.(*net.TCPConn)
	e.mu.Lock()
	defer e.mu.Unlock()
	until := time.Now().Add(enemyPatience)
	if e.over {
		until = time.Now()
	}
	// Only a closed socket refuses a deadline.
	_ = tcp.SetDeadline(until)
	e.open = append(e.open, tcp)
	return tcp
}

// attack strikes again and again until the attack is over, and then waits for nothing more.
func (e *enemy) attack(strike func(*enemy)) {
	defer context.AfterFunc(e.ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.over = true
		for _, c := range e.open {
			// It may be closed already.
			_ = c.SetDeadline(time.Now())
		}
	})()
	for e.ctx.Err() == nil {
		strike(e) // closes what it has opened
		e.struck.Add(1)
		e.mu.Lock()
		e.open = nil
		e.mu.Unlock()
	}
}

// member connects from any address that the policy knows.
func (e *enemy) member() *net.TCPConn { return e.dial(e.somewhere(membersNet)) }

// wait waits, or until the attack ends.
func (e *enemy) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-e.ctx.Done():
	}
}

// query is a good query that has an answer of one client, or of all of a link if bulk.
func (e *enemy) query(id int, bulk bool) []byte {
	w, link := e.lab.world, e.rng.IntN(e.lab.world.links)
	q := dhcpv6.LQQuery{Type: dhcpv6.QueryByLinkAddress, LinkAddress: w.link(link)}
	if !bulk {
		q = dhcpv6.LQQuery{Type: dhcpv6.QueryByAddress, LinkAddress: netip.IPv6Unspecified()}
		q.Options = sure(dhcpv6.IAAddress{Address: w.address(link, e.rng.IntN(w.clients))}.AppendBinary(nil))
	}
	return framed(message(dhcpv6.MessageLeasequery, id, optioned(q)))
}

// message is a message with a client-id and whatever follows.
func message(t dhcpv6.MessageType, id int, options ...[]byte) []byte {
	b := dhcpv6.AppendHeader(nil, t, dhcpv6.TransactionID{byte(id >> 16), byte(id >> 8), byte(id)})
	b = append(b, optioned(dhcpv6.ClientID("\x00\x03\x00\x01hostile"))...)
	for _, o := range options {
		b = append(b, o...)
	}
	return b
}

// framed is the message as TCP has it; of more than 65,535 octets the length says what is left modulo that.
func framed(m []byte) []byte { return append([]byte{byte(len(m) >> 8), byte(len(m))}, m...) }

func optioned(o interface{ AppendBinary([]byte) ([]byte, error) }) []byte {
	return sure(o.AppendBinary(nil))
}

func sure[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
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
