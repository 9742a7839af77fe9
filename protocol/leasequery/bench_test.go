package leasequery_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/leasequery/leasequerytest"
)

// crowd is so many clients of one address and one delegated prefix each behind one relay.
func crowd(clients int) *world {
	relay := chain("2001:db8:ffff::1", level(0, "2001:db8:ffff::1", "fe80::c", opt(optInterfaceID, []byte("ge-0/0/1")),
		opt(optRelayID, []byte("relay-1")), opt(optRemoteID, u32(9), []byte("port-1"))))
	bindings := make([]leasequerytest.Binding, 0, 2*clients)
	for n := range clients {
		a, p := [16]byte(ip("2001:db8:1::")), [16]byte(ip("2001:db8:8000::"))
		binary.BigEndian.PutUint32(a[12:], uint32(n+1))
		binary.BigEndian.PutUint32(p[4:], 0x80000000|uint32(n)<<4)
		duid := fmt.Sprintf("client%08d", n)
		entry := binding.Entry{Kind: binding.NA, Prefix: netip.PrefixFrom(netip.AddrFrom16(a), 128), IAID: 1, Preferred: 3600, Valid: 7200,
			LastTransaction: now - 100_000, Chain: relay}
		bindings = append(bindings, leasequerytest.Binding{Link: 1, DUID: duid, Entry: entry})
		entry.Kind, entry.Prefix = binding.PD, netip.PrefixFrom(netip.AddrFrom16(p), 60).Masked()
		bindings = append(bindings, leasequerytest.Binding{Link: 1, DUID: duid, Entry: entry})
	}
	return newWorld([]leasequerytest.Link{netLink(1, []string{"2001:db8::/32"}, "2001:db8:ffff::1")}, bindings...)
}

// replayed is a state whose cursors hand out clients that were looked up before: what is measured is the engine alone.
type replayed struct {
	*world
	clients []binding.Client
}

func replay(w *world) *replayed {
	r := &replayed{world: w}
	v, err := w.State.View(context.Background())
	if err != nil {
		panic(err) // only one that a test sets
	}
	defer v.Release()
	var c binding.Client
	for cur := v.Select(binding.Query{By: binding.ByEverything}); cur.Next(&c); {
		kept := binding.Client{Link: c.Link, DUID: bytes.Clone(c.DUID), Entries: slices.Clone(c.Entries)}
		for i := range kept.Entries {
			kept.Entries[i].Chain = bytes.Clone(kept.Entries[i].Chain)
		}
		r.clients = append(r.clients, kept)
	}
	return r
}

func (r *replayed) View(ctx context.Context) (binding.View, error) {
	v, err := r.State.View(ctx)
	return &replayView{View: v, clients: r.clients}, err
}

type replayView struct {
	binding.View
	clients []binding.Client
}

func (v *replayView) SelectLinks(dst []binding.LinkID, _ netip.Addr) []binding.LinkID {
	return append(dst, 1)
}

func (v *replayView) Select(binding.Query) binding.Cursor { return &replayCursor{clients: v.clients} }

type replayCursor struct{ clients []binding.Client }

func (c *replayCursor) Next(out *binding.Client) bool {
	if len(c.clients) == 0 {
		return false
	}
	next := &c.clients[0]
	out.Link, out.DUID, out.Entries = next.Link, next.DUID, next.Entries
	c.clients = c.clients[1:]
	return true
}

// BenchmarkNext is one message of a client with an address and a delegated prefix.
func BenchmarkNext(b *testing.B) {
	r := replay(crowd(10_000))
	engine := leasequery.New(leasequery.Config{}, r)
	for _, bc := range []struct {
		name      string
		requestor *leasequery.Requestor
		options   []byte
	}{
		{"plain", nil, nil},
		{"base time", nil, oro(optBaseTime)},
		{"relay data", nil, oro(optRelayData)},
		{"restricted", &leasequery.Requestor{Restricted: &leasequery.Restriction{}}, nil},
	} {
		b.Run(bc.name, func(b *testing.B) {
			m, err := dhcpv6.ParseMessage(linkQuery("2001:db8:ffff::1", bc.options))
			if err != nil {
				b.Fatal(err)
			}
			request := leasequery.Request{Message: m, Peer: relayAddr, Requestor: bc.requestor}
			buf := make([]byte, 0, 64<<10)
			var a *leasequery.Answer
			b.ReportAllocs()
			for b.Loop() {
				if a == nil {
					if a, err = engine.Begin(context.Background(), request); err != nil {
						b.Fatal(err)
					}
				}
				if len(buf) > 60<<10 {
					buf = buf[:0]
				}
				out, more, err := a.Next(buf)
				if err != nil {
					b.Fatal(err)
				}
				if buf = out; !more {
					a.Close()
					a = nil
				}
			}
		})
	}
}

// BenchmarkQuery is one query for one client, from the message to its last octet.
func BenchmarkQuery(b *testing.B) {
	engine := leasequery.New(leasequery.Config{}, replay(crowd(1)))
	m, err := dhcpv6.ParseMessage(addressQuery("::", "2001:db8:1::1"))
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		a, err := engine.Begin(context.Background(), leasequery.Request{Message: m, Peer: relayAddr})
		if err != nil {
			b.Fatal(err)
		}
		for more := true; more; {
			if _, more, err = a.Next(buf); err != nil {
				b.Fatal(err)
			}
		}
		a.Close()
	}
}

// TestNextAllocatesNothing: once an answer has told of its largest client, a message costs no allocation.
func TestNextAllocatesNothing(t *testing.T) {
	const clients = 2000
	w := crowd(clients)
	for name, state := range map[string]leasequery.State{"from octets that the cursor overwrites": w, "from octets of the view": replay(w)} {
		engine := leasequery.New(leasequery.Config{Sensitive: []dhcpv6.OptionCode{optInterfaceID}}, state)
		for what, r := range map[string]*leasequery.Requestor{"everything": nil, "restricted": {Restricted: &leasequery.Restriction{}}} {
			t.Run(name+", "+what, func(t *testing.T) {
				m, err := dhcpv6.ParseMessage(linkQuery("2001:db8:ffff::1", oro(optRelayData, optFQDN, optBaseTime)))
				if err != nil {
					t.Fatal(err)
				}
				a, err := engine.Begin(context.Background(), leasequery.Request{Message: m, Peer: relayAddr, Requestor: r})
				if err != nil {
					t.Fatal(err)
				}
				defer a.Close()
				buf := make([]byte, 0, 4096)
				if _, _, err := a.Next(buf); err != nil {
					t.Fatal(err)
				}
				allocs := testing.AllocsPerRun(clients-2, func() {
					if _, more, err := a.Next(buf); err != nil || !more {
						t.Fatalf("more %v, %v", more, err)
					}
				})
				if allocs != 0 {
					t.Errorf("%v allocations a message", allocs)
				}
			})
		}
	}
}
