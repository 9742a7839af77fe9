package leasequery_test

import (
	"bytes"
	"strconv"
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/leasequery/leasequerytest"
)

func hexOf(n int) string { return strconv.FormatInt(int64(n), 16) }

// relayed is a client behind a chain, alone on a link.
func relayed(c binding.Chain) *world {
	return newWorld([]leasequerytest.Link{netLink(1, []string{"2001:db8::/32"})}, lease(1, binding.NA, "2001:db8::1", "c", through(c)))
}

// tall is a chain of so many levels and the RELAY-FORW that it is: options in their order, one twice, one that no RFC names.
func tall(levels int, sender string) (binding.Chain, []byte) {
	var list []binding.Level
	for n := range levels {
		list = append(list, level(uint8(levels-1-n), "2001:db8:"+hexOf(n)+"::1", "fe80::"+hexOf(n+1), opt(65001, []byte("x")),
			opt(optInterfaceID, []byte{byte(n)}), opt(65001, bytes.Repeat([]byte("y"), n)), opt(65001)))
	}
	var message []byte
	for n := levels - 1; n >= 0; n-- {
		l := list[n]
		inner := []byte(nil)
		if message != nil {
			inner = opt(optRelayMsg, message)
		}
		message = relayForw(l.HopCount, l.Link.String(), l.Peer.String(), l.Options, inner)
	}
	return chain(sender, list...), message
}

// RFC 5007 4.1.2.4: the whole chain, lengths right at any depth, without the innermost OPTION_RELAY_MSG, over both transports.
func TestRelayDataAtAnyDepth(t *testing.T) {
	for _, levels := range []int{1, 2, 3, 4, 5, 8, 31, 32} {
		t.Run(strconv.Itoa(levels), func(t *testing.T) {
			c, message := tall(levels, "2001:db8:f::1")
			w := relayed(c)
			want := clientData("c", 100, leasedAddr("2001:db8::1"), opt(optRelayData, ip("2001:db8:f::1"), message))
			w.expect(t, linkQuery("2001:db8::", oro(optRelayData)), reply(want), done())
			w.expectUDP(t, addressQuery("::", "2001:db8::1", oro(optFQDN, optRelayData)), reply(want))
			w.expect(t, linkQuery("2001:db8::"), reply(one("c", "2001:db8::1")), done())
			read, inner, err := dhcpv6.ParseRelayChain(message)
			if err != nil || inner != nil || len(read) != levels {
				t.Errorf("the chain reads as %d levels with %x inside, %v", len(read), inner, err)
			}
		})
	}
}

// RFC 5007 4.1.2.4: peer-address is where the server received the message from; where the source does not know, the outermost
// global link-address stands for it.
func TestRelayDataPeerAddress(t *testing.T) {
	for _, tc := range []struct{ name, sender, outer, inner, want string }{
		{"as received", "2001:db8:f::1", "2001:db8:1::1", "2001:db8:2::1", "2001:db8:f::1"},
		{"as received, link-local", "fe80::77", "2001:db8:1::1", "2001:db8:2::1", "fe80::77"},
		{"unknown: the outermost link-address", "", "2001:db8:1::1", "2001:db8:2::1", "2001:db8:1::1"},
		{"unknown: a unique local one", "", "fd00::1", "2001:db8:2::1", "fd00::1"},
		{"unknown, outermost ::: the next inward", "", "::", "2001:db8:2::1", "2001:db8:2::1"},
		{"unknown, outermost link-local: the next inward", "", "fe80::1", "2001:db8:2::1", "2001:db8:2::1"},
		{"unknown, none global", "", "fe80::1", "::", "::"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := relayed(chain(tc.sender, level(1, tc.outer, "fe80::a"), level(0, tc.inner, "fe80::b")))
			message := relayForw(1, tc.outer, "fe80::a", opt(optRelayMsg, relayForw(0, tc.inner, "fe80::b")))
			w.expect(t, clientQuery("::", "c", oro(optRelayData)),
				reply(clientData("c", 100, leasedAddr("2001:db8::1"), opt(optRelayData, ip(tc.want), message))), done())
		})
	}
}

// Rule 6: over UDP relay data may stand beside OPTION_CLIENT_DATA, in general or for a requestor; over TCP never.
func TestRelayDataPlace(t *testing.T) {
	c := chain("", level(0, "2001:db8:1::1", "fe80::a"))
	inside, message := leasequery.RelayDataInClientData, leasequery.RelayDataInMessage
	option := opt(optRelayData, ip("2001:db8:1::1"), relayForw(0, "2001:db8:1::1", "fe80::a"))
	within := reply(clientData("c", 100, leasedAddr("2001:db8::1"), opt(optFQDN, []byte{0, 0}), option))
	beside := reply(clientData("c", 100, leasedAddr("2001:db8::1"), opt(optFQDN, []byte{0, 0})), option)
	for _, tc := range []struct {
		general, own leasequery.RelayDataPlace
		want         []byte
	}{{0, 0, within}, {inside, 0, within}, {message, 0, beside}, {message, inside, within}, {0, message, beside}, {inside, message, beside}} {
		w := relayed(c)
		w.SetBindings(lease(1, binding.NA, "2001:db8::1", "c", through(c), with(opt(optFQDN, []byte{0, 0}))))
		w.config.RelayDataPlace = tc.general
		r := &leasequery.Requestor{RelayDataPlace: tc.own}
		q := clientQuery("::", "c", oro(optRelayData, optFQDN))
		compare(t, w.ask(t, leasequery.UDP, r, bytes.Clone(q)), [][]byte{tc.want})
		compare(t, w.ask(t, leasequery.TCP, r, q), [][]byte{within, done()})
	}
}

// RFC 5007 4.1.2.4: on request, or always by setting; the requestor's stanza wins; never for a client that came unrelayed.
func TestRelayDataMode(t *testing.T) {
	c, message := tall(1, "2001:db8:f::1")
	plain := one("c", "2001:db8::1")
	full := clientData("c", 100, leasedAddr("2001:db8::1"), opt(optRelayData, ip("2001:db8:f::1"), message))
	const unset, request, always = leasequery.RelayDataDefault, leasequery.RelayDataOnRequest, leasequery.RelayDataAlways
	for _, tc := range []struct {
		name            string
		server          leasequery.RelayDataMode
		requestor       leasequery.RelayDataMode
		notAsked, asked []byte
	}{
		{"by default on request", unset, unset, plain, full},
		{"on request", request, unset, plain, full},
		{"always", always, unset, full, full},
		{"always to this one", request, always, full, full},
		{"on request to this one", always, request, plain, full},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, over := range []leasequery.Transport{leasequery.TCP, leasequery.UDP} {
				w := relayed(c)
				w.config.RelayData = tc.server
				r := &leasequery.Requestor{RelayData: tc.requestor}
				compare(t, w.ask(t, over, r, clientQuery("::", "c"))[:1], [][]byte{reply(tc.notAsked)})
				compare(t, w.ask(t, over, r, clientQuery("::", "c", oro(optRelayData)))[:1], [][]byte{reply(tc.asked)})
				w.SetBindings(lease(1, binding.NA, "2001:db8::1", "c"))
				compare(t, w.ask(t, over, r, clientQuery("::", "c", oro(optRelayData)))[:1], [][]byte{reply(plain)})
			}
		})
	}
	t.Run("the option request option of the message does not count", func(t *testing.T) {
		relayed(c).expect(t, query(oro(optRelayData), lq(byClientID, "::", opt(optClientID, []byte("c")))), reply(plain), done())
	})
}

// RFC 5007 4.1.2.4: of several chains behind one message, that of the newest transaction among the bindings that matched.
func TestRelayDataIsOfTheNewestBindingThatMatched(t *testing.T) {
	behind := func(n string) (binding.Chain, []byte) {
		options := cat(opt(optRelayID, []byte("relay-"+n)), opt(optRemoteID, u32(9), []byte("port-"+n)))
		return chain("2001:db8:f::"+n, level(0, "2001:db8:f::"+n, "fe80::"+n, options)),
			opt(optRelayData, ip("2001:db8:f::"+n), relayForw(0, "2001:db8:f::"+n, "fe80::"+n, options))
	}
	c1, d1 := behind("1")
	c2, d2 := behind("2")
	w := newWorld([]leasequerytest.Link{netLink(1, []string{"2001:db8::/32"})},
		lease(1, binding.NA, "2001:db8::1", "c", through(c1), spoke(300)),
		lease(1, binding.NA, "2001:db8::2", "c", through(c2), spoke(200)),
		lease(1, binding.PD, "2001:db8:1::/56", "c", through(c1), spoke(400)),
		lease(1, binding.PD, "2001:db8:2::/56", "c", through(c1), ended(binding.Moved), spoke(1)))
	all := cat(iaAddr("2001:db8::1", 3300, 6900), iaAddr("2001:db8::2", 3400, 7000), iaPrefix("2001:db8:1::/56", 3200, 6800))
	for name, tc := range map[string]struct{ query, want []byte }{
		"by the older relay's id":    {relayQuery("::", "relay-1", oro(optRelayData)), d1},
		"by the newer relay's id":    {relayQuery("::", "relay-2", oro(optRelayData)), d2},
		"by the older one's address": {addressQuery("::", "2001:db8:1::5", oro(optRelayData)), d1},
		"by remote-id":               {remoteQuery("::", cat(u32(9), []byte("port-1")), oro(optRelayData)), d1},
		"by client-id: the newest":   {clientQuery("::", "c", oro(optRelayData)), d2},
		"by link: the newest":        {linkQuery("2001:db8::", oro(optRelayData)), d2},
	} {
		t.Run(name, func(t *testing.T) { w.expect(t, tc.query, reply(clientData("c", 200, all, tc.want)), done()) })
	}
	t.Run("the newest came unrelayed", func(t *testing.T) {
		w.SetBindings(lease(1, binding.NA, "2001:db8::1", "c", through(c1)), lease(1, binding.NA, "2001:db8::2", "c", spoke(10)))
		w.expect(t, clientQuery("::", "c", oro(optRelayData)),
			reply(clientData("c", 10, cat(leasedAddr("2001:db8::1"), iaAddr("2001:db8::2", 3590, 7190)))), done())
	})
	t.Run("one transaction, the chain known with one of its bindings", func(t *testing.T) {
		w.SetBindings(lease(1, binding.NA, "2001:db8::1", "c"), lease(1, binding.PD, "2001:db8:1::/56", "c", through(c1)))
		w.expect(t, clientQuery("::", "c", oro(optRelayData)),
			reply(clientData("c", 100, cat(leasedAddr("2001:db8::1"), leasedPrefix("2001:db8:1::/56")), d1)), done())
	})
}

// RFC 5460 5.3.1, 5.3.3, RFC 4649 5: relay-id and remote-id match at any level, as whole octet strings.
func TestRelayAndRemoteIDMatchAnyLevel(t *testing.T) {
	w := relayed(chain("", level(2, "::", "fe80::1", opt(optRelayID, []byte("outer"))),
		level(1, "::", "fe80::2", opt(optInterfaceID, []byte("i")), opt(optRelayID, []byte("middle")), opt(optRemoteID, u32(1), []byte("a"))),
		level(0, "::", "fe80::3", opt(optRemoteID, u32(1), []byte("b")), opt(optRelayID, []byte("inner")))))
	want := [][]byte{reply(one("c", "2001:db8::1")), done()}
	for _, id := range []string{"outer", "middle", "inner"} {
		w.expect(t, relayQuery("::", id), want...)
	}
	w.expect(t, remoteQuery("::", cat(u32(1), []byte("a"))), want...)
	w.expect(t, remoteQuery("::", cat(u32(1), []byte("b"))), want...)
	w.expect(t, remoteQuery("::", cat(u32(2), []byte("b"))), reply())
	w.expect(t, relayQuery("::", "oute"), reply())
}

// RFC 5007 4.4.2: sensitive options are in no client data and on no level of the relay data, whoever asks, always or on request.
func TestSensitiveOptionsWinOverEverything(t *testing.T) {
	fqdn, vendor := opt(optFQDN, []byte("\x00\x04host")), opt(17, []byte("v"))
	keep := opt(65001, []byte("k"))
	c := chain("2001:db8:f::1", level(1, "2001:db8:f::1", "fe80::1", opt(optRemoteID, u32(9), []byte("secret")), keep, opt(optSubscriberID, []byte("s"))),
		level(0, "::", "fe80::2", keep, opt(optRemoteID, u32(9), []byte("secret"))), level(0, "::", "fe80::3", opt(optSubscriberID, []byte("t"))))
	w := newWorld([]leasequerytest.Link{netLink(1, []string{"2001:db8::/32"})},
		lease(1, binding.NA, "2001:db8::1", "c", through(c), with(fqdn, vendor)))
	w.config = leasequery.Config{Sensitive: []dhcpv6.OptionCode{optRemoteID, optFQDN}, RelayData: leasequery.RelayDataAlways}
	ask := func() []byte {
		return clientQuery("::", "c", oro(17, optFQDN, optRelayData, optRemoteID, optSubscriberID))
	}
	shown := func(sub1, sub2 []byte, rest ...[]byte) []byte {
		return clientData("c", 100, leasedAddr("2001:db8::1"), cat(rest...), opt(optRelayData, ip("2001:db8:f::1"),
			relayForw(1, "2001:db8:f::1", "fe80::1", keep, sub1, opt(optRelayMsg, relayForw(0, "::", "fe80::2", keep,
				opt(optRelayMsg, relayForw(0, "::", "fe80::3", sub2)))))))
	}
	w.expect(t, ask(), reply(shown(opt(optSubscriberID, []byte("s")), opt(optSubscriberID, []byte("t")), vendor)), done())
	t.Run("a requestor's own list adds to it", func(t *testing.T) {
		r := &leasequery.Requestor{Sensitive: []dhcpv6.OptionCode{17, optSubscriberID}}
		compare(t, w.ask(t, leasequery.TCP, r, ask()), [][]byte{reply(shown(nil, nil)), done()})
		w.expect(t, ask(), reply(shown(opt(optSubscriberID, []byte("s")), opt(optSubscriberID, []byte("t")), vendor)), done())
	})
	t.Run("relay data itself", func(t *testing.T) {
		r := &leasequery.Requestor{Sensitive: []dhcpv6.OptionCode{optRelayData}, RelayData: leasequery.RelayDataAlways}
		compare(t, w.ask(t, leasequery.TCP, r, ask()), [][]byte{reply(clientData("c", 100, leasedAddr("2001:db8::1"), vendor)), done()})
	})
}

// RFC 5007 4.1.2.2: client options that the query's own option request option names, as the source gave them; a relay's options
// and those that the answer itself is made of are not among them, whatever the source says.
func TestClientOptionsByOptionRequest(t *testing.T) {
	fqdn, vendor := opt(optFQDN, []byte("\x00\x04host")), opt(17, []byte("v"))
	junk := cat(opt(optInterfaceID, []byte("i")), opt(optRemoteID, []byte("12345")), opt(optSubscriberID, []byte("s")), opt(optRelayID, []byte("r")),
		opt(optLinkLayer, []byte("l")), opt(optClientID, []byte("d")), opt(optIAAddr, make([]byte, 24)), opt(optCLT, u32(1)), opt(optStatus, u16(1)),
		opt(optClientData), opt(optBaseTime, u32(1)), opt(optVSS, []byte{255}))
	w := newWorld([]leasequerytest.Link{netLink(1, []string{"2001:db8::/32"})},
		lease(1, binding.NA, "2001:db8::1", "c", with(vendor, junk, fqdn, vendor)))
	all := oro(optFQDN, 17, optInterfaceID, optRemoteID, optSubscriberID, optRelayID, optLinkLayer, optClientID, optIAAddr, optCLT, optStatus, optClientData, optVSS)
	data := func(options ...[]byte) []byte { return clientData("c", 100, leasedAddr("2001:db8::1"), options...) }
	w.expect(t, clientQuery("::", "c"), reply(data()), done())
	w.expect(t, clientQuery("::", "c", oro(optFQDN)), reply(data(fqdn)), done())
	w.expect(t, clientQuery("::", "c", oro(optFQDN, optFQDN, 17)), reply(data(vendor, fqdn, vendor)), done())
	w.expect(t, clientQuery("::", "c", all), reply(data(vendor, fqdn, vendor)), done())
	w.expect(t, clientQuery("::", "c", oro()), reply(data()), done())
	w.expect(t, query(oro(optFQDN), lq(byClientID, "::", opt(optClientID, []byte("c")))), reply(data()), done())
	w.expectUDP(t, clientQuery("::", "c", oro(17)), reply(data(vendor, vendor)))
	t.Run("thousands of codes", func(t *testing.T) {
		var codes []int
		for n := range 20000 {
			codes = append(codes, 30000-n)
		}
		w.expect(t, clientQuery("::", "c", oro(append(codes, optFQDN)...)), reply(data(fqdn)), done())
	})
	t.Run("of the newest binding that has any", func(t *testing.T) {
		w.SetBindings(lease(1, binding.NA, "2001:db8::1", "c", with(fqdn)), lease(1, binding.NA, "2001:db8::2", "c", with(opt(optFQDN, []byte("\x00\x03new"))), spoke(50)),
			lease(1, binding.NA, "2001:db8::3", "c", spoke(10)))
		w.expect(t, clientQuery("::", "c", oro(optFQDN)), reply(clientData("c", 10, cat(leasedAddr("2001:db8::1"), iaAddr("2001:db8::2", 3550, 7150),
			iaAddr("2001:db8::3", 3590, 7190)), opt(optFQDN, []byte("\x00\x03new")))), done())
	})
}

// Client options and relay data above what a source may give are left out rather than the bindings: the answer comes to its end.
func TestMonstrousOptionsLeaveRoomForBindings(t *testing.T) {
	fqdn := opt(optFQDN, []byte("\x00\x04host"))
	small, message := tall(1, "2001:db8:f::1")
	monster := opt(17, make([]byte, 60000))
	ask := func() []byte { return clientQuery("::", "c", oro(17, optFQDN, optRelayData)) }
	w := newWorld([]leasequerytest.Link{netLink(1, []string{"2001:db8::/32"})}, lease(1, binding.NA, "2001:db8::1", "c", with(monster, fqdn), through(small)))
	w.expect(t, ask(), reply(clientData("c", 100, leasedAddr("2001:db8::1"), fqdn, opt(optRelayData, ip("2001:db8:f::1"), message))), done())
	w.SetBindings(lease(1, binding.NA, "2001:db8::1", "c", with(fqdn), through(chain("", level(0, "2001:db8::1", "fe80::1", monster)))))
	w.expect(t, ask(), reply(clientData("c", 100, leasedAddr("2001:db8::1"), fqdn)), done())
}
