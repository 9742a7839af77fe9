package udp

import (
	"testing"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

func TestRule18ByAddress(t *testing.T) {
	w := serve(t, house(t), Config{}).dial(t)
	t.Run("the client whole on that link", func(t *testing.T) {
		w.exchange(ask(1, byAddress("::", "2001:db8:1::a")), answer(1, clientAOn1))
	})
	t.Run("in a delegated prefix", func(t *testing.T) {
		w.exchange(ask(2, byAddress("::", "2001:db8:a00::77")), answer(2, clientAOn1))
	})
	t.Run("on the link asked", func(t *testing.T) {
		w.exchange(ask(3, byAddress("2001:db8:3::1", "2001:db8:2::d")), answer(3, clientAOn2))
	})
	t.Run("bound on another link than asked", func(t *testing.T) {
		w.exchange(ask(4, byAddress("2001:db8:2::1", "2001:db8:1::a")), answer(4))
	})
	t.Run("nobody has it", func(t *testing.T) { w.exchange(ask(5, byAddress("::", "2001:db8:1::ffff")), answer(5)) })
	t.Run("no link holds it", func(t *testing.T) {
		w.exchange(ask(6, byAddress("::", "2001:db8:9::1")), refusal(6, stNotConfigured, "no link holds 2001:db8:9::1"))
	})
	t.Run("no link has the link-address", func(t *testing.T) {
		w.exchange(ask(7, byAddress("2001:db8:9::1", "2001:db8:1::a")), refusal(7, stNotConfigured, "no link has the link-address 2001:db8:9::1"))
	})
}

func TestRule18ByClientID(t *testing.T) {
	w := serve(t, house(t), Config{}).dial(t)
	t.Run("on one link: its data", func(t *testing.T) { w.exchange(ask(1, byClientID("::", clientB)), answer(1, clientBOn1)) })
	t.Run("nobody", func(t *testing.T) { w.exchange(ask(2, byClientID("::", "\x00\x01client-z")), answer(2)) })
	t.Run("on the link of a relay", func(t *testing.T) { w.exchange(ask(3, byClientID(relay1, clientA)), answer(3, clientAOn1)) })
	t.Run("on no link that is known", func(t *testing.T) {
		w.exchange(ask(4, byClientID("2001:db8:9::1", clientA)), refusal(4, stNotConfigured, "no link has the link-address 2001:db8:9::1"))
	})
}

// RFC 5007 4.4.1: without link-address a client on several links gets their list and no data, and asking again with each brings that
// link's data (4.1.2.5).
func TestRFC5007ClientLink(t *testing.T) {
	w := serve(t, house(t), Config{}).dial(t)
	w.exchange(ask(1, byClientID("::", clientA)), answer(1, opt(optClientLink, addr("2001:db8:1::"), addr("2001:db8:2::"))))
	w.exchange(ask(2, byClientID("2001:db8:1::", clientA)), answer(2, clientAOn1))
	w.exchange(ask(3, byClientID("2001:db8:2::", clientA)), answer(3, clientAOn2))
}

// Rule 18: a link-address that selects several of the client's links means the one whose prefix holds it, else the newest.
func TestRule18LinkAddressOfSeveralLinks(t *testing.T) {
	older := lease(0, "2001:db8:2::1", clientA, nil)
	older.Binding.LastTransaction -= 1000
	s := newWorld().put(t,
		link("net1", []string{"2001:db8:1::/64"}, "2001:db8:2::ffff", "2001:db8:ffff::9"),
		link("net2", []string{"2001:db8:2::/64"}, "2001:db8:ffff::9"),
		lease(0, "2001:db8:1::1", clientA, nil), older)
	w := serve(t, s, Config{}).dial(t)
	w.exchange(ask(1, byClientID("2001:db8:2::ffff", clientA)), answer(1, client(clientA, 101, leased2("2001:db8:2::1", 101))))
	w.exchange(ask(2, byClientID("2001:db8:ffff::9", clientA)), answer(2, client(clientA, 100, leased("2001:db8:1::1"))))
}

func leased2(a string, ago uint32) []byte { return iaAddr(a, 3600-ago, 7200-ago) }

func TestRule18QueryTypes(t *testing.T) {
	w := serve(t, house(t), Config{}).dial(t)
	for kind := range 256 {
		switch {
		case kind == qAddress || kind == qClientID:
		case kind >= qRelayID && kind <= qRemoteID: // RFC 5460 4: for TCP only
			w.exchange(ask(kind, lq(kind, "2001:db8:1::")), refusal(kind, stNotAllowed, dhcpv6.QueryType(kind).String()+" needs TCP"))
		default: // RFC 5007 4.4.1
			w.exchange(ask(kind, lq(kind, "::")), refusal(kind, stUnknownQueryType, "query type "+itoa(kind)+" is unknown"))
		}
	}
}

func TestRFC5007MalformedQueries(t *testing.T) {
	w := serve(t, house(t), Config{}).dial(t)
	for name, tc := range map[string]struct {
		query []byte
		text  string
	}{
		"LQ_QUERY too short": {opt(optQuery, []byte{1}, addr("::")[:15]), "OPTION_LQ_QUERY of 16 octets is broken"},
		"LQ_QUERY twice":     {cat(byAddress("::", "2001:db8:1::a"), byAddress("::", "2001:db8:1::a")), "more than one OPTION_LQ_QUERY"},
		"no address":         {lq(qAddress, "::"), "QUERY_BY_ADDRESS with 0 OPTION_IAADDR"},
		"two addresses":      {lq(qAddress, "::", iaAddr("2001:db8:1::a", 0, 0), iaAddr("2001:db8:1::a", 0, 0)), "QUERY_BY_ADDRESS with 2 OPTION_IAADDR"},
		"address too short":  {lq(qAddress, "::", opt(optIAAddr, addr("2001:db8:1::a"))), "OPTION_IAADDR of 16 octets"},
		"no client-id":       {lq(qClientID, "::"), "QUERY_BY_CLIENTID with 0 OPTION_CLIENTID"},
		"client-id empty":    {lq(qClientID, "::", opt(optClientID)), "OPTION_CLIENTID of 0 octets"},
		"client-id too long": {lq(qClientID, "::", opt(optClientID, make([]byte, 131))), "OPTION_CLIENTID of 131 octets"},
		"odd ORO":            {lq(qClientID, "::", opt(optClientID, []byte(clientB)), opt(optORO, []byte{0})), "OPTION_ORO of 1 octets"},
	} {
		t.Run(name, func(t *testing.T) { w.exchange(ask(1, tc.query), refusal(1, stMalformed, tc.text)) })
	}
}

// Rule 7: the options of RFC 7653 mean nothing over UDP, wherever they stand and however broken they are.
func TestRule07TimesAreIgnored(t *testing.T) {
	w := serve(t, house(t), Config{}).dial(t)
	times := cat(opt(optStartTime, u32(5)), opt(optEndTime, u32(4)), opt(optStartTime), opt(optBaseTime, u32(1)))
	w.exchange(ask(1, times, byAddress("::", "2001:db8:1::c", times, opt(optORO, codes(optBaseTime))), opt(optORO, codes(optBaseTime))), answer(1, clientBOn1))
}

func TestRule07RequestedOptions(t *testing.T) {
	w := serve(t, house(t), Config{}).dial(t)
	fqdn := opt(optFQDN, []byte("\x00\x01a\x00"))
	bindings := cat(leased("2001:db8:1::a"), delegated("2001:db8:a00::/56"))
	chain := opt(optRelayData, addr(relay1), cat([]byte{msgRelayForw, 0}, addr(relay1), addr("fe80::c"), relayOptions))
	w.exchange(ask(1, byAddress("::", "2001:db8:1::a", opt(optORO, codes(optFQDN)))), answer(1, client(clientA, 100, bindings, fqdn)))
	w.exchange(ask(2, byAddress("::", "2001:db8:1::a", opt(optORO, codes(optRelayData)))), answer(2, client(clientA, 100, bindings, chain)))
	w.exchange(ask(3, byAddress("::", "2001:db8:1::a", opt(optORO, codes(optRemoteID, 65000)))), answer(3, clientAOn1))
	w.exchange(ask(4, opt(optORO, codes(optFQDN)), byAddress("::", "2001:db8:1::a")), answer(4, clientAOn1)) // only the one inside counts
}

func TestRule17PolicyOverUDP(t *testing.T) {
	r := loopback()
	r.QueryTypes = []dhcpv6.QueryType{qAddress, qRelayID}
	r.Sensitive = []dhcpv6.OptionCode{optFQDN, optRemoteID}
	r.RelayData = leasequery.RelayDataAlways
	w := serveEngine(t, house(t), Config{}, leasequery.Config{Sensitive: []dhcpv6.OptionCode{optSubscriberID}}, r).dial(t)
	bindings := cat(leased("2001:db8:1::a"), delegated("2001:db8:a00::/56"))
	shown := opt(optRelayData, addr(relay1), cat([]byte{msgRelayForw, 0}, addr(relay1), addr("fe80::c"), opt(optInterfaceID, []byte("ge-0/0/1"))))
	t.Run("query type", func(t *testing.T) {
		w.exchange(ask(1, byClientID("::", clientA)), refusal(1, stNotAllowed, "QUERY_BY_CLIENTID is not allowed to this requestor"))
	})
	t.Run("sensitive options and relay data", func(t *testing.T) {
		w.exchange(ask(2, byAddress("::", "2001:db8:1::a", opt(optORO, codes(optFQDN)))), answer(2, client(clientA, 100, bindings, shown)))
	})
	t.Run("never for a client that came unrelayed", func(t *testing.T) {
		w.exchange(ask(3, byAddress("::", "2001:db8:2::d")), answer(3, clientAOn2))
	})
}

// A restricted requestor sees what it relays, by the address that it asks from.
func TestRule17RestrictedOverUDP(t *testing.T) {
	r := loopback()
	r.Restricted = &leasequery.Restriction{}
	w := serve(t, house(t), Config{}, r).dial(t)
	w.exchange(ask(1, byAddress("::", "2001:db8:1::a")), answer(1))
	w.exchange(ask(2, byClientID("::", clientA)), answer(2))
}

// RFC 8415 16, 21: any order, unknown options, and a server-id that is ours.
func TestRFC8415OptionsInAnyOrder(t *testing.T) {
	w := serve(t, house(t), Config{}).dial(t)
	id, server, query := opt(optClientID, requestorID), opt(optServerID, clusterID), byAddress("::", "2001:db8:1::c")
	unknown := cat(opt(65001, []byte("?")), opt(17, u32(32473), opt(1, []byte("vendor"))), opt(14))
	for n, parts := range [][][]byte{{id, query}, {query, id}, {server, query, id}, {query, server, id}, {unknown, query, unknown, id, unknown, server}} {
		w.exchange(msg(msgQuery, n, parts...), answer(n, clientBOn1))
	}
	inside := lq(qAddress, "::", unknown, iaAddr("2001:db8:1::c", 77, 99), unknown) // lifetimes in a query are ignored (21.6)
	w.exchange(ask(9, inside), answer(9, clientBOn1))
}

func TestRule04IdentifiersOverUDP(t *testing.T) {
	w := serve(t, house(t), Config{}).dial(t)
	for _, n := range []int{1, 2, 130} {
		id := opt(optClientID, make([]byte, n))
		w.exchange(msg(msgQuery, n, id, byAddress("::", "2001:db8:1::c")), msg(msgAnswer, n, id, opt(optServerID, clusterID), clientBOn1))
	}
}

// Rule 11, RFC 5007 4.2.1: what gets no answer, over UDP.
func TestRule11DiscardedOverUDP(t *testing.T) {
	s := serve(t, house(t), Config{})
	w := s.dial(t)
	query := byAddress("::", "2001:db8:1::c")
	for _, tc := range []struct {
		reason  string
		message []byte
	}{
		{"no-client-id", msg(msgQuery, 1, query)},
		{"no-client-id", msg(msgQuery, 1, opt(optClientID), query)},
		{"client-id-too-long", msg(msgQuery, 1, opt(optClientID, make([]byte, 131)), query)},
		{"foreign-server-id", ask(1, opt(optServerID, clusterID[:4]), query)},
		{"foreign-server-id", ask(1, opt(optServerID), query)},
		{"no-lq-query", ask(1)},
		{"option-framing", ask(1, query[:len(query)-1])},
		{"option-framing", cat(ask(1, query), []byte{0})},
		{"option-framing", []byte{}},
		{"option-framing", []byte{msgQuery, 0, 0}},
		{"message-type", msg(msgAnswer, 1, opt(optClientID, requestorID), query)},
		{"message-type", msg(msgData, 1)},
		{"message-type", msg(msgDone, 1)},
		{"message-type", msg(msgActive, 1, opt(optClientID, requestorID), query)},
		{"message-type", msg(1, 1, opt(optClientID, requestorID))}, // SOLICIT
		{"message-type", msg(255, 1)},
	} {
		before := s.metric(MetricDiscarded, tc.reason)
		w.silent(tc.message)
		s.discarded(tc.reason, int(before)+1)
	}
}

// Every truncation of a good query is counted and gets no answer, and costs nothing but itself.
func TestRule11EveryTruncation(t *testing.T) {
	s := serve(t, house(t), Config{})
	w := s.dial(t)
	direct := ask(1, byAddress("::", "2001:db8:1::c"))
	for _, whole := range [][]byte{direct, relayed(msgRelayForw, 0, relay1, "::1", direct, relayOptions)} {
		for n := range whole {
			if n == 4 || n == 4+4+len(requestorID) { // where an option ends it is a message, without what is needed
				continue
			}
			w.send(whole[:n])
		}
	}
	w.exchange(probe.query, probe.answer)
}

// Rule 1: a client that no datagram has room for.
func TestRule01TooLargeForUDP(t *testing.T) {
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}))
	for i := range 2500 {
		w.put(t, lease(0, "2001:db8:1::"+hex4(i+1), clientA, nil))
	}
	w.put(t, lease(0, "2001:db8:1::1:0", clientB, nil))
	x := serve(t, w, Config{}).dial(t)
	x.exchange(ask(1, byClientID("::", clientA)), refusal(1, stUnspecFail, "too large for UDP: use TCP"))
	x.exchange(ask(2, byAddress("::", "2001:db8:1::5")), refusal(2, stUnspecFail, "too large for UDP: use TCP"))
	x.exchange(ask(3, byClientID("::", clientB)), answer(3, client(clientB, 100, leased("2001:db8:1::1:0"))))
}
