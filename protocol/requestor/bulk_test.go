package requestor

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/fsm/store"
	"github.com/leasehold/leasehold/protocol/bulk"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// node is a server of real answers: so many clients behind one relay.
type node struct {
	store *store.Store
	bulk  *bulk.Server
	addr  string
}

func (n *node) View(context.Context) (binding.View, error) { return n.store.View(), nil }
func (n *node) Now() binding.Time                          { return 2_000_000 }
func (n *node) ServerDUID() []byte                         { return serverID }

func newNode(t testing.TB, clients int) *node {
	return newNodeOf(t, clients, bulk.Config{}, leasequery.Requestor{Name: "loopback", Prefixes: []netip.Prefix{netip.MustParsePrefix("::1/128")}})
}

func newNodeOf(t testing.TB, clients int, config bulk.Config, requestors ...leasequery.Requestor) *node {
	n := &node{store: store.New()}
	chain := binding.AppendChain(nil, netip.Addr{}, []binding.Level{{
		Link: netip.MustParseAddr("2001:db8::"), Peer: netip.MustParseAddr("fe80::1"), Options: must(dhcpv6.RelayID("relay-1"), dhcpv6.InterfaceID("if-1")),
	}})
	changes := []binding.Change{{Event: binding.DefineLink, Link: &binding.Link{Label: "net", Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}}}}
	for i := range clients {
		a := [16]byte{0x20, 0x01, 0x0d, 0xb8}
		binary.BigEndian.PutUint32(a[12:], uint32(i+1))
		changes = append(changes, binding.Change{Event: binding.Upsert, Binding: binding.Binding{
			Kind: binding.NA, Prefix: netip.PrefixFrom(netip.AddrFrom16(a), 128), DUID: fmt.Appendf(nil, "client-%d", i),
			Valid: 7200, Preferred: 3600, LastTransaction: 1_000_000, Chain: chain,
		}})
	}
	n.store.Apply(store.Batch{Index: 1, Clock: 2_000_000, Source: "kea", Changes: changes})
	policy, err := leasequery.NewPolicy(requestors)
	if err != nil {
		t.Fatal(err)
	}
	n.bulk = bulk.New(config, leasequery.New(leasequery.Config{}, n), policy, nil, nil)
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	n.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- n.bulk.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return n
}

// kill ends a server at once.
func (n *node) kill() {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	n.bulk.Drain(over)
}

// The first server goes away in the middle of its answer; the second one's is whole, and nothing of the first's is kept.
func TestQueryAnyOverRealServers(t *testing.T) {
	const clients = 30_000
	first, second := newNode(t, clients), newNode(t, clients)
	var once sync.Once
	config := Config{ClientID: ownID, ReceiveBuffer: 16 << 10, SpoolMemory: 1 << 20, SpoolDir: t.TempDir()}
	config.Dial = func(ctx context.Context, server string) (net.Conn, error) {
		c, err := dial(ctx, server, Config{DialTimeout: DefaultDialTimeout, UserTimeout: DefaultUserTimeout, ReceiveBuffer: 16 << 10})
		if err != nil || server != first.addr {
			return c, err
		}
		return dying{c, func() { once.Do(func() { go first.kill() }) }}, nil
	}
	seen := map[string]int{}
	err := QueryAny(t.Context(), []string{first.addr, second.addr}, config, Query{
		Type: dhcpv6.QueryByRelayID, RelayID: []byte("relay-1"), RelayData: true, BaseTime: true,
	}, func(c *Client) error {
		seen[string(c.DUID)]++
		if len(c.Addresses) != 1 || c.Addresses[0].Valid != 6200 || c.LastTransaction != 1000 || !c.HasRelay || !c.HasBaseTime ||
			len(c.Relay.Levels) != 1 || len(c.Relay.Levels[0].Options) != 2 {
			return fmt.Errorf("client %q is %+v", c.DUID, *c)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != clients {
		t.Errorf("%d clients, want %d", len(seen), clients)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("client %q came %d times", id, n)
		}
	}
}

// dying is a connection whose first read ends its server.
type dying struct {
	net.Conn
	kill func()
}

func (d dying) Read(p []byte) (int, error) {
	n, err := d.Conn.Read(p)
	d.kill()
	return n, err
}

// Reading an answer allocates nothing for each client.
func TestReadingAllocatesNothing(t *testing.T) {
	n := newNode(t, 1000)
	c, err := Dial(t.Context(), n.addr, Config{ClientID: ownID})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }() // the test is over
	q := Query{Type: dhcpv6.QueryByLinkAddress, LinkAddress: netip.MustParseAddr("2001:db8::"), RelayData: true}
	allocs := testing.AllocsPerRun(10, func() {
		clients := 0
		if err := c.Query(t.Context(), q, func(*Client) error { clients++; return nil }); err != nil || clients != 1000 {
			t.Fatal(clients, err)
		}
	})
	if allocs > 200 { // for the query, at both ends, not for 1,000 clients
		t.Errorf("%v allocations for 1,000 clients", allocs)
	}
}

// BenchmarkQuery decodes a whole bulk answer: clients of one address with their relay chain.
func BenchmarkQuery(b *testing.B) {
	const clients = 100_000
	n := newNode(b, clients)
	c, err := Dial(b.Context(), n.addr, Config{ClientID: ownID})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Close() }() // the benchmark is over
	q := Query{Type: dhcpv6.QueryByLinkAddress, LinkAddress: netip.MustParseAddr("2001:db8::"), RelayData: true}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Query(b.Context(), q, func(*Client) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(clients*float64(b.N)/b.Elapsed().Seconds(), "clients/s")
}
