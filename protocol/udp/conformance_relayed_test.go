package udp

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/leasehold/leasehold/protocol/leasequery"
)

// relaySockets are a relay's two sockets: the one at the port that answers to relays go to, here another than 547 because several
// tests share the machine, and one at a port of its own.
func relaySockets(t *testing.T, w *world, config Config, requestors ...leasequery.Requestor) (s *served, standard, other *wire) {
	t.Helper()
	standard = newWire(t, "[::1]:0", netip.AddrPort{})
	config.RelayPort = standard.c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	s = serve(t, w, config, requestors...)
	standard.to = s.addr
	return s, standard, s.dial(t)
}

// nested is a query, and its answer, within so many relays, outermost last; each with an Interface-Id of its own.
func nested(query, answer []byte, levels int) (forw, repl []byte) {
	forw, repl = query, answer
	for n := range levels {
		link, peer := "2001:db8:ffff::"+hex4(n+1), "fe80::"+hex4(n+1)
		id := opt(optInterfaceID, []byte("port-"+itoa(n)))
		forw = relayed(msgRelayForw, n, link, peer, forw, id, opt(optRemoteID, u32(9), []byte("x")))
		repl = relayed(msgRelayRepl, n, link, peer, repl, id)
	}
	return forw, repl
}

// RFC 8415 19.3, 21.18: a Relay-reply for each Relay-forward, with its hop-count, addresses and Interface-Id, to the relay's port.
func TestRule18RelayedThroughEveryLevel(t *testing.T) {
	s, standard, other := relaySockets(t, house(t), Config{})
	query, want := ask(1, byAddress("::", "2001:db8:1::c")), answer(1, clientBOn1)
	for _, levels := range []int{1, 2, 3, 8, 32} {
		forw, repl := nested(query, want, levels)
		other.send(forw)
		standard.expect(repl)
	}
	if n := s.metric(MetricAnswers, "relayed"); n != 5 {
		t.Errorf("%v relayed answers counted, want 5", n)
	}
	refused, repl := nested(ask(2, lq(qLink, "2001:db8:1::")), refusal(2, stNotAllowed, "QUERY_BY_LINK_ADDRESS needs TCP"), 2)
	other.send(refused)
	standard.expect(repl)
	other.exchange(probe.query, probe.answer) // the relay's own port got nothing
}

func TestRule18TooManyHops(t *testing.T) {
	s, standard, _ := relaySockets(t, house(t), Config{MaxHops: 2})
	query, want := ask(1, byAddress("::", "2001:db8:1::c")), answer(1, clientBOn1)
	forw, repl := nested(query, want, 2)
	standard.exchange(forw, repl)
	forw, _ = nested(query, want, 3)
	standard.silent(forw)
	s.discarded(discardHops, 1)
}

func TestRule18MoreThan32Hops(t *testing.T) {
	s, standard, _ := relaySockets(t, house(t), Config{MaxHops: 99})
	forw, _ := nested(ask(1, byAddress("::", "2001:db8:1::c")), nil, 33)
	standard.silent(forw)
	s.discarded(discardHops, 1)
}

// RFC 5007 5: relayed queries are answered only where the requestor's stanza says so.
func TestRule18RelayedIsRefused(t *testing.T) {
	r := loopback()
	r.Relayed = false
	s, standard, _ := relaySockets(t, house(t), Config{}, r)
	forw, _ := nested(ask(1, byAddress("::", "2001:db8:1::c")), nil, 1)
	standard.silent(forw)
	s.discarded(discardRelayed, 1)
	standard.exchange(ask(1, byAddress("::", "2001:db8:1::c")), answer(1, clientBOn1))
}

// RFC 4994 5: each relay gets back what its ERO names: nothing twice, nothing that it did not send, the rest verbatim, known or not,
// and never an address space that is not supported (RFC 6607 7.1).
func TestRFC4994EchoRequest(t *testing.T) {
	_, standard, _ := relaySockets(t, house(t), Config{})
	query, want := ask(1, byAddress("::", "2001:db8:1::c")), answer(1, clientBOn1)
	remote, subscriber := opt(optRemoteID, u32(9), []byte("x")), opt(optSubscriberID, []byte("s"))
	unknown, again := opt(65001, []byte("?")), opt(65001, []byte("!"))
	vss, link := opt(optVSS, []byte{255}), opt(optLinkLayer, []byte{0, 1, 1, 2, 3, 4, 5, 6})
	id, port := opt(optInterfaceID, []byte("eth0")), opt(optRelayPort, u16(0))
	for name, tc := range map[string]struct{ sent, back [][]byte }{
		"no ERO":                   {[][]byte{remote, id, subscriber}, [][]byte{id}},
		"empty ERO":                {[][]byte{remote, opt(optERO)}, nil},
		"named":                    {[][]byte{remote, opt(optERO, codes(optRemoteID)), subscriber}, [][]byte{remote}},
		"in the order of the ERO":  {[][]byte{remote, subscriber, opt(optERO, codes(optRemoteID, optSubscriberID))}, [][]byte{remote, subscriber}},
		"named twice":              {[][]byte{opt(optERO, codes(optRemoteID, optRemoteID)), remote}, [][]byte{remote}},
		"sent twice":               {[][]byte{opt(optERO, codes(65001)), unknown, again}, [][]byte{unknown, again}},
		"not sent":                 {[][]byte{opt(optERO, codes(optSubscriberID, optRemoteID)), remote}, [][]byte{remote}},
		"there already":            {[][]byte{id, port, opt(optERO, codes(optInterfaceID, optRelayPort, optRelayMsg)), remote}, [][]byte{id, port}},
		"unknown":                  {[][]byte{unknown, opt(optERO, codes(65001))}, [][]byte{unknown}},
		"ERO itself":               {[][]byte{opt(optERO, codes(optERO))}, [][]byte{opt(optERO, codes(optERO))}},
		"odd ERO":                  {[][]byte{link, opt(optERO, codes(optLinkLayer), []byte{0})}, [][]byte{link}},
		"address space is not":     {[][]byte{vss, link, opt(optERO, codes(optVSS, optLinkLayer))}, [][]byte{link}},
		"address space, by itself": {[][]byte{vss}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			standard.exchange(relayed(msgRelayForw, 0, relay1, "fe80::1", query, tc.sent...), relayed(msgRelayRepl, 0, relay1, "fe80::1", want, tc.back...))
		})
	}
	t.Run("each level its own", func(t *testing.T) {
		ero := opt(optERO, codes(optRemoteID))
		forw := relayed(msgRelayForw, 1, "::", "2001:db8::1", relayed(msgRelayForw, 0, relay1, "fe80::1", query, ero, unknown, remote), remote, opt(optERO, codes(65001)), again)
		repl := relayed(msgRelayRepl, 1, "::", "2001:db8::1", relayed(msgRelayRepl, 0, relay1, "fe80::1", want, remote), again)
		standard.exchange(forw, repl)
	})
	t.Run("options behind the message", func(t *testing.T) {
		forw := cat(relayed(msgRelayForw, 0, relay1, "fe80::1", query, opt(optERO, codes(optRemoteID))), remote)
		repl := cat([]byte{msgRelayRepl, 0}, addr(relay1), addr("fe80::1"), remote, opt(optRelayMsg, want))
		standard.exchange(forw, repl)
	})
}

// RFC 8357 5.2: a relay that says so gets its answer at the port that it sent from, and the option back, on every level.
func TestRFC8357RelayPort(t *testing.T) {
	_, standard, other := relaySockets(t, house(t), Config{})
	query, want := ask(1, byAddress("::", "2001:db8:1::c")), answer(1, clientBOn1)
	own, below := opt(optRelayPort, u16(0)), opt(optRelayPort, u16(1000))
	other.exchange(relayed(msgRelayForw, 0, relay1, "fe80::1", query, own), relayed(msgRelayRepl, 0, relay1, "fe80::1", want, own))
	other.exchange( // both levels have one
		relayed(msgRelayForw, 1, "::", "fe80::2", relayed(msgRelayForw, 0, relay1, "fe80::1", query, own), below),
		relayed(msgRelayRepl, 1, "::", "fe80::2", relayed(msgRelayRepl, 0, relay1, "fe80::1", want, own), below))
	other.send(relayed(msgRelayForw, 1, "::", "fe80::2", relayed(msgRelayForw, 0, relay1, "fe80::1", query, own))) // only the inner one
	standard.expect(relayed(msgRelayRepl, 1, "::", "fe80::2", relayed(msgRelayRepl, 0, relay1, "fe80::1", want, own)))
}

// RFC 6607 7: a query for another address space than the global one gets no answer from that one, whoever says so.
func TestRule07AddressSpaceOverUDP(t *testing.T) {
	_, standard, _ := relaySockets(t, house(t), Config{})
	vss, global := opt(optVSS, []byte{1, 'v', 'p', 'n'}), opt(optVSS, []byte{255})
	query := byAddress("::", "2001:db8:1::c")
	no := refusal(1, stNotConfigured, "no address space but the global one")
	standard.exchange(ask(1, query, vss), no)
	standard.exchange(ask(1, byAddress("::", "2001:db8:1::c", vss)), no)
	standard.exchange(ask(1, query, global), answer(1, clientBOn1))
	standard.exchange(relayed(msgRelayForw, 0, relay1, "fe80::1", ask(1, query), vss), relayed(msgRelayRepl, 0, relay1, "fe80::1", no))
	standard.exchange(relayed(msgRelayForw, 1, "::", "fe80::2", relayed(msgRelayForw, 0, relay1, "fe80::1", ask(1, query), vss), global),
		relayed(msgRelayRepl, 1, "::", "fe80::2", relayed(msgRelayRepl, 0, relay1, "fe80::1", no)))
	standard.exchange(relayed(msgRelayForw, 0, relay1, "fe80::1", ask(1, query), opt(optVSS)),
		relayed(msgRelayRepl, 0, relay1, "fe80::1", refusal(1, stMalformed, "OPTION_VSS is empty")))
}

// Relay messages that are none.
func TestRule11BrokenRelayMessages(t *testing.T) {
	s, standard, _ := relaySockets(t, house(t), Config{})
	query := ask(1, byAddress("::", "2001:db8:1::c"))
	whole := relayed(msgRelayForw, 0, relay1, "fe80::1", query)
	longer := cat(whole)
	binary.BigEndian.PutUint16(longer[36:], uint16(len(query)+1)) // OPTION_RELAY_MSG is said to be longer than it is
	for _, tc := range []struct {
		reason  string
		message []byte
	}{
		{discardRelay, whole[:33]},
		{discardRelay, whole[:34]}, // a whole header, and nothing carried
		{discardRelay, longer},
		{discardRelay, relayed(msgRelayForw, 0, relay1, "fe80::1", nil)},
		{discardRelay, cat(whole[:34], opt(optInterfaceID, []byte("eth0")))},
		{discardType, relayed(msgRelayForw, 1, "::", "fe80::2", relayed(msgRelayRepl, 0, relay1, "fe80::1", query))},
		{discardRelay, relayed(msgRelayForw, 1, "::", "fe80::2", whole[:20])},
		{discardType, relayed(msgRelayRepl, 0, relay1, "fe80::1", query)},
		{discardType, relayed(msgRelayForw, 0, relay1, "fe80::1", msg(1, 1, opt(optClientID, requestorID)))},
		{discardFraming, relayed(msgRelayForw, 0, relay1, "fe80::1", query[:3])},
		{discardFraming, relayed(msgRelayForw, 0, relay1, "fe80::1", query[:len(query)-1])},
		{"no-lq-query", relayed(msgRelayForw, 0, relay1, "fe80::1", ask(1), opt(optVSS, []byte{0}))},
	} {
		before := s.metric(MetricDiscarded, tc.reason)
		standard.silent(tc.message)
		s.discarded(tc.reason, int(before)+1)
	}
}

// An answer and the relays' messages around it fit into one datagram, or there is a status, or, where the relays' own options leave no
// room for even that, nothing.
func TestRule01TooLargeWhenRelayed(t *testing.T) {
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}))
	for i := range 2300 { // 64,400 octets
		w.put(t, lease(0, "2001:db8:1::"+hex4(i+1), clientA, nil))
	}
	s, standard, _ := relaySockets(t, w, Config{})
	query := ask(1, byClientID("::", clientA))
	standard.send(relayed(msgRelayForw, 0, relay1, "fe80::1", query))
	if got, _ := standard.next(); len(got) < 64_400 {
		t.Errorf("%d octets, want more than 64,400", len(got))
	}
	big := cat(opt(optERO, codes(65001)), opt(65001, make([]byte, 2000)))
	standard.exchange(relayed(msgRelayForw, 0, relay1, "fe80::1", query, big),
		relayed(msgRelayRepl, 0, relay1, "fe80::1", refusal(1, stUnspecFail, "too large for UDP: use TCP"), opt(65001, make([]byte, 2000))))
	room := maxDatagram - len(relayed(msgRelayForw, 0, relay1, "fe80::1", query, opt(optERO, codes(65001)), opt(65001)))
	standard.send(relayed(msgRelayForw, 0, relay1, "fe80::1", query, opt(optERO, codes(65001)), opt(65001, make([]byte, room))))
	standard.silent()
	s.discarded(discardTooLarge, 1)
}

// The datagram's source is who asks, whoever asked the relay.
func TestRule18PolicyIsOfTheRelay(t *testing.T) {
	r := loopback()
	r.Restricted = &leasequery.Restriction{Addresses: []netip.Addr{netip.MustParseAddr("2001:db8:ffff::2")}}
	_, standard, _ := relaySockets(t, house(t), Config{}, r)
	forw, repl := nested(ask(1, byAddress("::", "2001:db8:1::c")), answer(1), 2)
	standard.exchange(forw, repl)
}

func TestListenRefuses(t *testing.T) {
	for _, a := range []string{"127.0.0.1:0", "[::ffff:127.0.0.1]:0", "[2001:db8::547]:0"} {
		if conns, err := Listen(context.Background(), netip.MustParseAddrPort(a), 1, nil); err == nil {
			t.Errorf("%s: %d sockets", a, len(conns))
			for _, c := range conns {
				_ = c.Close() // the failure is told
			}
		}
	}
	if conns, err := Listen(context.Background(), netip.MustParseAddrPort("[::1]:0"), 1, []string{"no-such-interface"}); err == nil || len(conns) > 0 {
		t.Errorf("multicast on an interface that is not there: %d sockets, %v", len(conns), err)
	}
}
