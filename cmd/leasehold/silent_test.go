//go:build linux

package main

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
	"github.com/leasehold/leasehold/feed/synthetic"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// silentDeath is how a node stops answering without a word, and how it comes back.
type silentDeath struct {
	name string
	die  func(c *nsCluster, n *nsNode, relay *netlab.Host)
	back func(c *nsCluster, n *nsNode)
}

var silentDeaths = []silentDeath{
	{"cut off from the relay", func(c *nsCluster, n *nsNode, relay *netlab.Host) { c.Lab.CutBoth(n.Host, relay) },
		func(c *nsCluster, _ *nsNode) { c.Lab.Heal() }},
	{"power off", func(_ *nsCluster, n *nsNode, _ *netlab.Host) { n.Host.LinkDown() }, func(_ *nsCluster, n *nsNode) { n.Host.LinkUp() }},
	{"frozen", func(_ *nsCluster, n *nsNode, _ *netlab.Host) { n.Freeze() }, func(_ *nsCluster, n *nsNode) { n.Thaw() }},
}

// TestSilentDeaths: the first server of a requestor dies without a word, before it is asked or in the middle of its answer. The
// requestor has the whole answer of the next one, nothing of the first's beside it, and does not wait for BULK_LQ_DATA_TIMEOUT.
func TestSilentDeaths(t *testing.T) {
	t.Parallel()
	c := startNSCluster(t, 3)
	relay := c.Lab.Host("relay")
	source, err := synthetic.New(synthetic.Config{Leases: 60_000, Relays: 1, Seed: 1, Valid: 86400})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.newAgent(t, relay, "kea", source).Run(deadline(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	for _, death := range silentDeaths {
		for _, octets := range []int{0, 200_000} { // read before it dies
			leader := c.Leader(t)
			victim, next := c.Nodes[0], leader
			if victim == leader {
				victim = c.Nodes[1]
			}
			a := &ailing{relay: relay, server: victim.Leasequery, octets: octets, die: func() { death.die(c, victim, relay) }}
			took, clients := a.query(t, source.Relay(0).ID, victim.Leasequery, next.Leasequery)
			t.Logf("%s after %d octets: whole answer elsewhere %v later", death.name, octets, took.Round(10*time.Millisecond))
			if len(clients) != source.Clients() {
				t.Errorf("%s after %d octets: %d clients came, want %d", death.name, octets, len(clients), source.Clients())
			}
			for duid, n := range clients {
				if n != 1 {
					t.Fatalf("%s after %d octets: client %x came %d times", death.name, octets, duid, n)
				}
			}
			if took > requestor.DefaultDataTimeout/2 {
				t.Errorf("%s after %d octets: only BULK_LQ_DATA_TIMEOUT has helped", death.name, octets)
			}
			death.back(c, victim)
			c.AwaitReady(t)
		}
	}
}

// ailing is a server that dies when so many octets of it have been read.
type ailing struct {
	relay  *netlab.Host
	server string
	octets int
	die    func()

	once sync.Once
	died time.Time
}

// query asks the servers, in their order, for everything behind a relay; took is from the death on.
func (a *ailing) query(t *testing.T, relayID []byte, servers ...string) (took time.Duration, clients map[string]int) {
	t.Helper()
	config := requestor.Config{ClientID: newDUID(), ReceiveBuffer: 16 << 10, Report: func(f requestor.Attempt) { t.Logf("  %s: %v", f.Server, f.Err) }}
	d := config.Dialer()
	config.Dial = func(ctx context.Context, server string) (net.Conn, error) {
		if server == a.server && a.octets == 0 {
			a.once.Do(a.end)
		}
		conn, err := a.relay.Dial(ctx, d, "tcp", server)
		if err != nil || server != a.server {
			return conn, err
		}
		return &ailingConn{Conn: conn, ailing: a}, nil
	}
	clients = map[string]int{}
	err := requestor.QueryAny(deadline(t, 10*time.Minute), servers, config, requestor.Query{
		Type: dhcpv6.QueryByRelayID, RelayID: relayID, RelayData: true,
	}, func(c *requestor.Client) error { clients[string(c.DUID)]++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return time.Since(a.died), clients
}

func (a *ailing) end() {
	a.died = time.Now()
	a.die()
}

type ailingConn struct {
	net.Conn
	ailing *ailing
	read   int
}

func (c *ailingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.read += n; c.read >= c.ailing.octets {
		c.ailing.once.Do(c.ailing.end)
	}
	return n, err
}
