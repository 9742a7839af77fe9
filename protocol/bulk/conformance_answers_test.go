package bulk

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// house is the small world that most cases ask: two links, three clients behind one relay, one without.
func house(t testing.TB) *world {
	chain := onRelay("2001:db8:ffff::1", "relay-1", "port-1")
	return newWorld().put(t,
		link("net1", []string{"2001:db8:1::/64"}, "2001:db8:ffff::1"),
		link("net2", []string{"2001:db8:2::/64", "2001:db8:3::/64"}),
		lease(binding.PD, "2001:db8:a00::/56", "\x00\x01client-a", chain),
		lease(binding.NA, "2001:db8:1::b", "\x00\x01client-a", chain),
		lease(binding.TA, "2001:db8:1::5", "\x00\x01client-a", chain),
		lease(binding.NA, "2001:db8:1::a", "\x00\x01client-a", chain),
		lease(binding.PD, "2001:db8:a00:100::/60", "\x00\x01client-a", chain),
		lease(binding.NA, "2001:db8:1::c", "\x00\x01client-b", onRelay("2001:db8:ffff::1", "relay-1", "port-2")),
		lease(binding.NA, "2001:db8:2::d", "\x00\x01client-a", nil),
		lease(binding.NA, "2001:db8:3::d", "\x00\x01client-a", nil),
	)
}

// Within a link the order of clients is the store's: fixed, the same on every node, and no requestor's business.
var (
	clientAOn1 = client("\x00\x01client-a", 100, leased("2001:db8:1::a"), leased("2001:db8:1::b"), leased("2001:db8:1::5"),
		delegated("2001:db8:a00::/56"), delegated("2001:db8:a00:100::/60"))
	clientBOn1 = client("\x00\x01client-b", 100, leased("2001:db8:1::c"))
	clientAOn2 = client("\x00\x01client-a", 100, leased("2001:db8:2::d"), leased("2001:db8:3::d"))
)

// ask sends one query and compares its whole answer; the connection stays open.
func (s *served) ask(t *testing.T, q []byte, answer ...[]byte) {
	t.Helper()
	w := dialWire(t, s.addr)
	w.send(q)
	w.expect(answer...)
	w.expectOpen()
}

func TestRule01OneMessageForEachClientAndLink(t *testing.T) {
	s := serve(t, house(t), Config{})
	t.Run("by address: the client whole on that link", func(t *testing.T) {
		s.ask(t, lqMsg(7, lq(qAddress, "::", iaAddr("2001:db8:1::b", 0, 0))), answerOK(7, clientAOn1), done(7))
	})
	t.Run("by address in a delegated prefix", func(t *testing.T) {
		s.ask(t, lqMsg(7, lq(qAddress, "::", iaAddr("2001:db8:a00::77", 0, 0))), answerOK(7, clientAOn1), done(7))
	})
	t.Run("by client-id: a message for each link", func(t *testing.T) {
		s.ask(t, lqMsg(8, lq(qClientID, "::", opt(optClientID, []byte("\x00\x01client-a")))),
			answerOK(8, clientAOn1), msg(msgData, 8, clientAOn2), done(8))
	})
	t.Run("by link: a message for each client", func(t *testing.T) {
		s.ask(t, lqMsg(9, lq(qLink, "2001:db8:ffff::1")), answerOK(9, clientBOn1), msg(msgData, 9, clientAOn1), done(9))
	})
	t.Run("by remote-id: one client of two", func(t *testing.T) {
		s.ask(t, lqMsg(9, lq(qRemoteID, "::", opt(optRemoteID, u32(9), []byte("port-2")))), answerOK(9, clientBOn1), done(9))
	})
}

// A client too large for one message goes on in further ones with the same client-id and CLT_TIME.
func TestRule01LargeClient(t *testing.T) {
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}))
	changes := make([]binding.Change, 6000)
	for i := range changes {
		a := [16]byte(addr("2001:db8:1::"))
		binary.BigEndian.PutUint16(a[14:], uint16(i+1))
		changes[i] = lease(binding.NA, netip.AddrFrom16(a).String(), "\x00\x01large", nil)
	}
	s := serve(t, w.put(t, changes...), Config{})
	c := dialWire(t, s.addr)
	c.send(lqMsg(1, lq(qLink, "2001:db8:1::")))
	var addresses []byte
	for n := 0; ; n++ {
		got := c.next()
		if n == 0 {
			got = slices.Concat(got[:6], stripped(t, got[6:], cat(opt(optClientID, requestorID), opt(optServerID, clusterID))))
		}
		if got[2] == msgDone {
			if n != 3 {
				t.Errorf("168,000 octets of addresses in %d messages, want 3", n)
			}
			break
		}
		body := stripped(t, got[6+4:], opt(optClientID, []byte("\x00\x01large"))) // behind the header of OPTION_CLIENT_DATA
		clt := opt(optCLT, u32(100))
		stripped(t, body[len(body)-len(clt):], clt)
		addresses = append(addresses, body[:len(body)-len(clt)]...)
	}
	want := make([]byte, 0, len(addresses))
	for i := range changes {
		want = append(want, leased(changes[i].Binding.Prefix.Addr().String())...)
	}
	if !slices.Equal(want, addresses) {
		t.Errorf("%d octets of addresses, want %d, each once and in order", len(addresses), len(want))
	}
	c.expectOpen()
}

// stripped is b behind a prefix that it must have.
func stripped(t *testing.T, b, prefix []byte) []byte {
	t.Helper()
	if len(b) < len(prefix) || !slices.Equal(b[:len(prefix)], prefix) {
		t.Fatalf("want %x first, got %x", prefix, b[:min(len(b), 2*len(prefix))])
	}
	return b[len(prefix):]
}

func TestRule02LifetimesAreWhatRemains(t *testing.T) {
	inf := binding.Infinity
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}),
		aged(lease(binding.NA, "2001:db8:1::1", "\x00\x01one", nil), 100, 200, 150),     // preferred is over
		aged(lease(binding.NA, "2001:db8:1::2", "\x00\x01one", nil), inf, inf, 150),     // never ages
		aged(lease(binding.NA, "2001:db8:1::3", "\x00\x01one", nil), 500, 500, 20),      // its own last transaction
		aged(lease(binding.NA, "2001:db8:1::4", "\x00\x01one", nil), inf, 1000, 100),    // preferred is never above valid
		aged(lease(binding.NA, "2001:db8:1::5", "\x00\x01one", nil), 0, inf, 100),       // zero stays zero
		aged(lease(binding.PD, "2001:db8:1:8000::/66", "\x00\x01one", nil), 60, 61, 60), // the last second
	)
	s := serve(t, w, Config{})
	s.ask(t, lqMsg(1, lq(qAddress, "::", iaAddr("2001:db8:1::1", 0, 0))), answerOK(1, client("\x00\x01one", 20,
		iaAddr("2001:db8:1::1", 0, 50), iaAddr("2001:db8:1::2", inf, inf), iaAddr("2001:db8:1::3", 480, 480),
		iaAddr("2001:db8:1::4", 900, 900), iaAddr("2001:db8:1::5", 0, inf), iaPrefix("2001:db8:1:8000::/66", 0, 1))), done(1))
}

func TestRule03OrderIsTheSame(t *testing.T) {
	s := serve(t, house(t), Config{})
	for range 3 {
		s.ask(t, lqMsg(9, lq(qRelayID, "::", opt(optRelayID, []byte("relay-1")))), answerOK(9, clientBOn1), msg(msgData, 9, clientAOn1), done(9))
	}
}

func TestRule04EveryReplyHasTheIdentifiers(t *testing.T) {
	s := serve(t, house(t), Config{})
	t.Run("client-id octet for octet, of any length", func(t *testing.T) {
		for _, n := range []int{1, 2, 130} {
			id := make([]byte, n)
			w := dialWire(t, s.addr)
			w.send(msg(msgQuery, 3, opt(optClientID, id), lq(qLink, "2001:db8:2::")))
			w.expect(msg(msgAnswer, 3, opt(optClientID, id), opt(optServerID, clusterID), clientAOn2), done(3))
		}
	})
	t.Run("empty success has no DONE", func(t *testing.T) {
		s.ask(t, lqMsg(4, lq(qClientID, "::", opt(optClientID, []byte{0, 7}))), answerOK(4))
	})
	t.Run("base time in all messages when asked", func(t *testing.T) {
		base := opt(optBaseTime, u32(nowBase))
		w := dialWire(t, s.addr)
		w.send(lqMsg(5, lq(qLink, "2001:db8:1::", opt(optORO, u16(optBaseTime)))))
		for n, kind := range []byte{msgAnswer, msgData, msgDone} {
			got := w.next()
			m, err := dhcpv6.ParseMessage(got[2:])
			if err != nil || byte(m.Type) != kind {
				t.Fatalf("message %d is %v, %v", n, m.Type, err)
			}
			if v, ok := m.Options.First(dhcpv6.OptionLQBaseTime); !ok || !slices.Equal(v, base[4:]) {
				t.Errorf("message %d has base time %x, want %x", n, v, base[4:])
			}
		}
		w.send(lqMsg(6, opt(optORO, u16(optBaseTime)), lq(qClientID, "::", opt(optClientID, []byte{0, 7}))))
		w.expect(answerOK(6, base))
		w.expectOpen()
	})
	t.Run("a status has them too", func(t *testing.T) {
		w := dialWire(t, s.addr)
		w.send(lqMsg(4, lq(qLink, "2001:db8:9::")))
		w.expectStatus(msgAnswer, 4, stNotConfigured)
		w.expectOpen()
	})
}

func TestRule05OneServerIDForTheCluster(t *testing.T) {
	for range 2 { // two nodes
		s := serve(t, house(t), Config{})
		w := dialWire(t, s.addr)
		w.send(lqMsg(1, lq(qLink, "2001:db8:2::")))
		w.expect(answerOK(1, clientAOn2))
	}
}

// relayed is a client behind so many relays. Each level has an option of its own, one that no RFC names, and one twice.
func relayed(levels int, sender, outermost string) (binding.Chain, []byte) {
	var chain []binding.Level
	var message []byte
	for n := range levels {
		l := binding.Level{
			HopCount: uint8(levels - 1 - n), Link: netip.MustParseAddr("2001:db8:1::"), Peer: netip.MustParseAddr("fe80::c"),
			Options: cat(opt(optInterfaceID, []byte{byte(n)}), opt(65001, []byte("x")), opt(65001, []byte("y"))),
		}
		if n == 0 {
			l.Link = netip.MustParseAddr(outermost)
		}
		chain = append(chain, l)
	}
	for _, l := range slices.Backward(chain) {
		inner := []byte(nil)
		if message != nil {
			inner = opt(optRelayMsg, message)
		}
		message = relayForw(l.HopCount, l.Link.String(), l.Peer.String(), l.Options, inner)
	}
	from := netip.Addr{}
	if sender != "" {
		from = netip.MustParseAddr(sender)
	}
	return binding.AppendChain(nil, from, chain), message
}

func TestRule06RelayData(t *testing.T) {
	for _, tc := range []struct {
		name, sender, outermost, peer string
		levels                        int
	}{
		{"one relay", "2001:db8:f::1", "2001:db8:1::", "2001:db8:f::1", 1},
		{"sender unknown: the outermost global link-address", "", "2001:db8:1::9", "2001:db8:1::9", 1},
		{"sender unknown: the next inward", "", "fe80::9", "2001:db8:1::", 3},
		{"three relays", "2001:db8:f::1", "2001:db8:1::", "2001:db8:f::1", 3},
		{"four relays", "2001:db8:f::1", "2001:db8:1::", "2001:db8:f::1", 4},
		{"five relays", "2001:db8:f::1", "2001:db8:1::", "2001:db8:f::1", 5},
		{"thirty-two relays", "2001:db8:f::1", "2001:db8:1::", "2001:db8:f::1", 32},
	} {
		t.Run(tc.name, func(t *testing.T) {
			chain, message := relayed(tc.levels, tc.sender, tc.outermost)
			w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}, "2001:db8:1::9"), lease(binding.NA, "2001:db8:1::1", "\x00\x01one", chain))
			s := serve(t, w, Config{})
			want := client("\x00\x01one", 100, leased("2001:db8:1::1"), opt(optRelayData, addr(tc.peer), message))
			s.ask(t, lqMsg(1, lq(qAddress, "::", iaAddr("2001:db8:1::1", 0, 0), opt(optORO, u16(optRelayData)))), answerOK(1, want), done(1))
			plain := client("\x00\x01one", 100, leased("2001:db8:1::1"))
			s.ask(t, lqMsg(2, lq(qAddress, "::", iaAddr("2001:db8:1::1", 0, 0))), answerOK(2, plain), done(2))
		})
	}
	t.Run("never for a client without relay, also under always", func(t *testing.T) {
		s := serve(t, house(t), Config{})
		s.ask(t, lqMsg(1, lq(qLink, "2001:db8:2::", opt(optORO, u16(optRelayData)))), answerOK(1, clientAOn2), done(1))
	})
	t.Run("the chain of the newest transaction that matched", func(t *testing.T) {
		old, oldMessage := relayed(1, "2001:db8:f::1", "2001:db8:1::")
		newer := onRelay("2001:db8:1::", "relay-2", "port-2")
		w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}),
			aged(lease(binding.NA, "2001:db8:1::1", "\x00\x01one", old), 3600, 7200, 50),
			aged(lease(binding.NA, "2001:db8:1::2", "\x00\x01one", newer), 3600, 7200, 10))
		s := serve(t, w, Config{})
		both := [][]byte{iaAddr("2001:db8:1::1", 3550, 7150), iaAddr("2001:db8:1::2", 3590, 7190)}
		s.ask(t, lqMsg(1, lq(qAddress, "::", iaAddr("2001:db8:1::1", 0, 0), opt(optORO, u16(optRelayData)))),
			answerOK(1, client("\x00\x01one", 10, cat(both...), opt(optRelayData, addr("2001:db8:f::1"), oldMessage))), done(1))
		newMessage := relayForw(0, "2001:db8:1::", "fe80::c", opt(optInterfaceID, []byte("ge-0/0/1")),
			opt(optRelayID, []byte("relay-2")), opt(optRemoteID, u32(9), []byte("port-2")))
		s.ask(t, lqMsg(2, lq(qLink, "2001:db8:1::", opt(optORO, u16(optRelayData)))),
			answerOK(2, client("\x00\x01one", 10, cat(both...), opt(optRelayData, addr("2001:db8:1::"), newMessage))), done(2))
	})
}

func TestRule07OptionRequest(t *testing.T) {
	fqdn := opt(optFQDN, []byte{1, 3, 'f', 'o', 'o'})
	named := lease(binding.NA, "2001:db8:1::1", "\x00\x01one", nil)
	named.Binding.Options = cat(fqdn, opt(65002, []byte("z")))
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}), named)
	s := serve(t, w, Config{})
	plain := client("\x00\x01one", 100, leased("2001:db8:1::1"))
	ask := iaAddr("2001:db8:1::1", 0, 0)
	t.Run("none asked", func(t *testing.T) {
		s.ask(t, lqMsg(1, lq(qAddress, "::", ask)), answerOK(1, plain), done(1))
	})
	t.Run("asked inside the query", func(t *testing.T) {
		s.ask(t, lqMsg(1, lq(qAddress, "::", ask, opt(optORO, u16(optFQDN)))), answerOK(1, client("\x00\x01one", 100, leased("2001:db8:1::1"), fqdn)), done(1))
	})
	t.Run("asked beside it does not count", func(t *testing.T) {
		s.ask(t, lqMsg(1, opt(optORO, u16(optFQDN)), lq(qAddress, "::", ask)), answerOK(1, plain), done(1))
	})
	t.Run("relay options are no client options", func(t *testing.T) {
		s.ask(t, lqMsg(1, lq(qAddress, "::", ask, opt(optORO, u16(optInterfaceID), u16(optRemoteID), u16(optVSS)))), answerOK(1, plain), done(1))
	})
}

func TestRule08ByAddress(t *testing.T) {
	chain := onRelay("2001:db8:1::9", "relay-1", "port-1")
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}),
		lease(binding.PD, "2001:db8:100::/40", "\x00\x01wide", chain),
		lease(binding.PD, "2001:db8:100::/56", "\x00\x01narrow", chain),
		lease(binding.NA, "2001:db8:100::1", "\x00\x01exact", chain))
	s := serve(t, w, Config{})
	by := func(a string) []byte { return lqMsg(1, lq(qAddress, "::", iaAddr(a, 0, 0))) }
	s.ask(t, by("2001:db8:100::1"), answerOK(1, client("\x00\x01exact", 100, leased("2001:db8:100::1"))), done(1))
	s.ask(t, by("2001:db8:100::2"), answerOK(1, client("\x00\x01narrow", 100, delegated("2001:db8:100::/56"))), done(1))
	s.ask(t, by("2001:db8:100:100::1"), answerOK(1, client("\x00\x01wide", 100, delegated("2001:db8:100::/40"))), done(1))
	for _, a := range []string{"fe80::1", "ff02::1", "::", "2001:db8:9::1"} {
		c := dialWire(t, s.addr)
		c.send(by(a))
		c.expectStatus(msgAnswer, 1, stNotConfigured)
		c.expectOpen()
	}
	t.Run("a known link where nobody has it", func(t *testing.T) { s.ask(t, by("2001:db8:1::77"), answerOK(1)) })
}

func TestRule09IdentitiesAtAnyLevel(t *testing.T) {
	levels := []binding.Level{
		{HopCount: 1, Link: netip.MustParseAddr("2001:db8:1::"), Peer: netip.MustParseAddr("2001:db8:f::2"), Options: cat(opt(optRelayID, []byte("outer")), opt(optRemoteID, u32(9), []byte("line")))},
		{HopCount: 0, Link: netip.MustParseAddr("2001:db8:2::"), Peer: netip.MustParseAddr("fe80::c"), Options: cat(opt(optRelayID, []byte("inner")), opt(optRemoteID, u32(10), []byte("line")))},
	}
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}), link("net2", []string{"2001:db8:2::/64"}),
		lease(binding.NA, "2001:db8:2::1", "\x00\x01one", binding.AppendChain(nil, netip.Addr{}, levels)))
	s := serve(t, w, Config{})
	want := client("\x00\x01one", 100, leased("2001:db8:2::1"))
	for _, id := range []string{"outer", "inner"} {
		s.ask(t, lqMsg(1, lq(qRelayID, "::", opt(optRelayID, []byte(id)))), answerOK(1, want), done(1))
		s.ask(t, lqMsg(1, lq(qRelayID, "2001:db8:2::", opt(optRelayID, []byte(id)))), answerOK(1, want), done(1))
		s.ask(t, lqMsg(1, lq(qRelayID, "2001:db8:1::", opt(optRelayID, []byte(id)))), answerOK(1))
	}
	for enterprise, found := range map[uint32]bool{9: true, 10: true, 11: false} {
		answer := [][]byte{answerOK(1)}
		if found {
			answer = [][]byte{answerOK(1, want), done(1)}
		}
		s.ask(t, lqMsg(1, lq(qRemoteID, "::", opt(optRemoteID, u32(enterprise), []byte("line")))), answer...)
	}
	s.ask(t, lqMsg(1, lq(qRelayID, "::", opt(optRelayID, []byte("oute")))), answerOK(1))
}

func TestRule10EndedBindingsAreNotShown(t *testing.T) {
	chain := onRelay("2001:db8:1::", "relay-1", "port-1")
	end := func(prefix, duid string, why binding.State) binding.Change {
		c := lease(binding.NA, prefix, duid, nil)
		c.Event, c.Reason = binding.End, why
		return c
	}
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}))
	w.put(t,
		lease(binding.NA, "2001:db8:1::1", "\x00\x01released", chain), lease(binding.NA, "2001:db8:1::2", "\x00\x01declined", chain),
		lease(binding.NA, "2001:db8:1::3", "\x00\x01deleted", chain), lease(binding.NA, "2001:db8:1::4", "\x00\x01kept", chain),
		lease(binding.NA, "2001:db8:1::5", "\x00\x01before", chain), aged(lease(binding.NA, "2001:db8:1::6", "\x00\x01over", chain), 10, 20, 30))
	w.put(t,
		end("2001:db8:1::1", "\x00\x01released", binding.Released), end("2001:db8:1::2", "", binding.Declined),
		end("2001:db8:1::3", "\x00\x01deleted", binding.Deleted), lease(binding.NA, "2001:db8:1::5", "\x00\x01after", chain))
	s := serve(t, w, Config{})
	kept, after := client("\x00\x01kept", 100, leased("2001:db8:1::4")), client("\x00\x01after", 100, leased("2001:db8:1::5"))
	for name, q := range map[string][]byte{
		"link":      lq(qLink, "2001:db8:1::"),
		"relay-id":  lq(qRelayID, "::", opt(optRelayID, []byte("relay-1"))),
		"remote-id": lq(qRemoteID, "::", opt(optRemoteID, u32(9), []byte("port-1"))),
	} {
		c := dialWire(t, s.addr)
		c.send(lqMsg(1, q))
		first, second, third := c.next(), c.next(), c.next()
		got := [][]byte{first[6+8+len(requestorID)+len(clusterID):], second[6:]}
		slices.SortFunc(got, slices.Compare)
		want := [][]byte{kept, after}
		slices.SortFunc(want, slices.Compare)
		if diff := cmp.Diff(want, got); diff != "" || third[2] != msgDone {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		c.expectOpen()
	}
	for _, id := range []string{"released", "declined", "deleted", "before", "over"} {
		s.ask(t, lqMsg(1, lq(qClientID, "::", opt(optClientID, []byte("\x00\x01"+id)))), answerOK(1))
	}
}

var _ = leasequery.Config{}
