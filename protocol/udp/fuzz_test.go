package udp

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/udp/datagram"
)

// idle is a worker that nobody runs, whose answers go to a socket that nobody reads.
type idle struct {
	*worker
	sink datagram.Endpoint
}

func newIdle(t testing.TB, w *world, config Config, r leasequery.Requestor) *idle {
	t.Helper()
	open := func() *net.UDPConn {
		conn, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		})
		return conn
	}
	policy, err := leasequery.NewPolicy([]leasequery.Requestor{r})
	if err != nil {
		t.Fatal(err)
	}
	at := open().LocalAddr().(*net.UDPAddr).AddrPort()
	config.RelayPort = at.Port()
	worker, err := newWorker(New(config, leasequery.New(leasequery.Config{}, w), policy, nil, nil), open())
	if err != nil {
		t.Fatal(err)
	}
	return &idle{worker, datagram.Endpoint{Addr: at.Addr(), Port: at.Port()}}
}

// datagram is octets as they come from the sink.
func (x *idle) datagram(b []byte) datagram.Datagram {
	return datagram.Datagram{Octets: b, From: x.sink, Local: netip.IPv6Loopback()}
}

// FuzzDatagram: whatever octets come, they get no answer, or one that is well formed and meant for them, within the relays that they
// came through; and cost no more than that.
func FuzzDatagram(f *testing.F) {
	query := ask(1, byAddress("::", "2001:db8:1::a", opt(optORO, codes(optRelayData, optFQDN))), opt(optServerID, clusterID))
	for levels := range 4 {
		forw, _ := nested(query, nil, levels)
		f.Add(forw)
	}
	f.Add(ask(2, byClientID("::", clientA)))
	f.Add(ask(3, byClientID("2001:db8:1::", clientA), opt(optVSS, []byte{1, 2})))
	f.Add(ask(4, lq(4, "2001:db8:1::")))
	f.Add(relayed(msgRelayForw, 0, relay1, "fe80::1", query, opt(optERO, codes(optRemoteID, optVSS, 65001)), opt(optRelayPort, u16(7)), opt(optVSS, []byte{255}), relayOptions))
	f.Add([]byte{})
	x := newIdle(f, house(f), Config{}, loopback())
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxDatagram {
			return
		}
		x.vetted = x.vetted[:0]
		x.take(x.datagram(b), time.Now())
		if len(x.vetted) == 0 {
			return
		}
		a := &x.answerer
		if err := a.batch.Open(context.Background()); err != nil {
			t.Fatal(err)
		}
		a.one(&x.vetted[0])
		if len(a.octets) > 0 {
			checkAnswer(t, b, a.octets)
		}
		a.flush()
		a.batch.Close()
	})
}

// checkAnswer checks that an answer is one to the query.
func checkAnswer(t *testing.T, query, answer []byte) {
	t.Helper()
	if len(answer) > maxDatagram {
		t.Fatalf("answer of %d octets", len(answer))
	}
	for dhcpv6.MessageType(query[0]) == dhcpv6.MessageRelayForward {
		forw, err := dhcpv6.ParseRelayMessage(query)
		if err != nil {
			t.Fatalf("an answer to a relay message that is broken: %v", err)
		}
		repl, err := dhcpv6.ParseRelayMessage(answer)
		if err != nil || repl.Type != dhcpv6.MessageRelayReply || repl.HopCount != forw.HopCount || repl.LinkAddress != forw.LinkAddress || repl.PeerAddress != forw.PeerAddress {
			t.Fatalf("%+v within %+v, %v", repl, forw, err)
		}
		if repl.Options.Count(dhcpv6.OptionVSS) > 0 || repl.Options.Count(dhcpv6.OptionRelayMessage) != 1 {
			t.Fatalf("relay options %x", []byte(repl.Options))
		}
		query, _ = forw.Inner()
		answer, _ = repl.Inner()
	}
	q, err := dhcpv6.ParseMessage(query)
	if err != nil {
		t.Fatalf("an answer to a message that is broken: %v", err)
	}
	m, err := dhcpv6.ParseMessage(answer)
	if err != nil || m.Type != dhcpv6.MessageLeasequeryReply || m.TransactionID != q.TransactionID {
		t.Fatalf("%x to %x: %v", answer, query, err)
	}
	asked, _ := q.Options.First(dhcpv6.OptionClientID)
	told, _ := m.Options.First(dhcpv6.OptionClientID)
	if string(asked) != string(told) || m.Options.Count(dhcpv6.OptionServerID) != 1 {
		t.Fatalf("%x to %x", answer, query)
	}
}

// TestQueriesAllocateNothing: a query, direct or relayed, costs no allocation: sixty-four that come together cost as much as one.
func TestQueriesAllocateNothing(t *testing.T) {
	x := newIdle(t, house(t), Config{Rate: 1e9}, loopback())
	direct := ask(1, byAddress("::", "2001:db8:1::a", opt(optORO, codes(optRelayData))))
	forw, _ := nested(ask(2, byClientID("2001:db8:1::", clientA)), nil, 3)
	links, _ := nested(ask(3, byClientID("::", clientA)), nil, 1)
	run := func(times int) float64 {
		return testing.AllocsPerRun(50, func() {
			now := time.Now()
			x.vetted = x.vetted[:0]
			for range times {
				for _, b := range [][]byte{direct, forw, links} {
					x.take(x.datagram(b), now)
				}
			}
			if len(x.vetted) != 3*times {
				t.Fatalf("%d of %d are to be answered", len(x.vetted), 3*times)
			}
			x.room.add(x.vetted, now)
			x.answerer.load(x.room.take())
		})
	}
	one, many := run(1), run(20)
	t.Logf("%v allocations for 3 queries, %v for 60", one, many)
	if many > one+1 { // a view, a deadline; the store's own pages now and then
		t.Errorf("%v allocations for 60 queries, %v for 3", many, one)
	}
}

// TestSpoofedSourcesCostNothing: a flood from sources that are made up, known and unknown, leaves nothing behind.
func TestSpoofedSourcesCostNothing(t *testing.T) {
	r := loopback()
	r.Prefixes = []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}
	x := newIdle(t, house(t), Config{Rate: 1}, r)
	query := ask(1, byAddress("::", "2001:db8:1::a"))
	n := 0
	if allocs := testing.AllocsPerRun(20, func() {
		for range 10_000 {
			n++
			from := [16]byte{0x20, 1, 0xd, 0xb8 + byte(n&1), 12: byte(n >> 24), 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)}
			d := x.datagram(query)
			d.From.Addr = netip.AddrFrom16(from)
			x.vetted = x.vetted[:0]
			x.take(d, x.server.limiter.start)
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// BenchmarkQuery is one query of many that come together, from vetting it to handing its answer to the system.
func BenchmarkQuery(b *testing.B) {
	x := newIdle(b, house(b), Config{}, loopback())
	forw, _ := nested(ask(2, byAddress("::", "2001:db8:1::a")), nil, 1)
	for name, query := range map[string][]byte{"direct": ask(1, byAddress("::", "2001:db8:1::a")), "relayed": forw} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if x.take(x.datagram(query), x.server.limiter.start); len(x.vetted) == cap(x.vetted) {
					x.room.add(x.vetted, x.server.limiter.start)
					x.vetted = x.vetted[:0]
					l := x.room.take()
					for i := range l.questions {
						l.questions[i].arrived = time.Now()
					}
					x.answerer.load(l)
				}
			}
		})
	}
}
