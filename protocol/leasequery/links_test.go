package leasequery_test

import (
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/leasequery/leasequerytest"
)

// landscape has a configured link within another's prefix, a link that two relays use, and a binding whose relay gave a
// link-address that no configuration knows.
func landscape() *world {
	recorded := chain("", level(1, "2001:db8:ee::1", "fe80::1"), level(0, "2001:db8:dd::1", "fe80::2"), level(0, "fe80::9", "fe80::3"))
	return newWorld([]leasequerytest.Link{
		netLink(1, []string{"2001:db8::/32"}),
		netLink(2, []string{"2001:db8:2::/64", "2001:db8:3::/64"}, "2001:db8:ffff::2", "2001:db8:1::9"),
		netLink(3, []string{"2001:db8:4::/64"}, "2001:db8:ffff::2"),
		netLink(4, []string{"3fff:4::/64"}),
		netLink(5, []string{"2001:db8:5::/64"}),
	},
		lease(1, binding.NA, "2001:db8:77::1", "on-1"),
		lease(2, binding.NA, "2001:db8:3::1", "on-2"),
		lease(3, binding.NA, "2001:db8:4::1", "on-3"),
		lease(4, binding.NA, "3fff:4::1", "on-4", through(recorded)),
		lease(4, binding.NA, "3fff:4::2", "else-on-4"),
	)
}

func one(duid, address string) []byte { return clientData(duid, 100, leasedAddr(address)) }

// RFC 5007 4.4.1, RFC 5460 5.3.2, 7.2: a link-address selects the links that list it as a relay's, the link that holds it by
// longest match, and those of bindings whose recorded link-address closest to the client it is; and is never ignored.
func TestLinkAddressSelectsLinks(t *testing.T) {
	w := landscape()
	on1, on2, on3, on4, else4 := one("on-1", "2001:db8:77::1"), one("on-2", "2001:db8:3::1"), one("on-3", "2001:db8:4::1"),
		one("on-4", "3fff:4::1"), one("else-on-4", "3fff:4::2")
	for _, tc := range []struct {
		name, link string
		want       [][]byte
	}{
		{"any address of any prefix of a link", "2001:db8:2::ffff", [][]byte{reply(on2), done()}},
		{"the longest match alone", "2001:db8:4::", [][]byte{reply(on3), done()}},
		{"the outer link where no inner one holds it", "2001:db8:aa::", [][]byte{reply(on1), done()}},
		{"a relay address of two links, and the link that holds it", "2001:db8:ffff::2", [][]byte{reply(on1), data(on2), data(on3), done()}},
		{"a relay address on another link's prefix", "2001:db8:1::9", [][]byte{reply(on1), data(on2), done()}},
		{"a recorded link-address closest to the client: the whole link", "2001:db8:dd::1", [][]byte{reply(on1), data(else4), data(on4), done()}},
		{"a recorded link-address further away", "2001:db8:ee::1", [][]byte{reply(on1), done()}},
		{"an address beside the recorded one", "2001:db8:dd::2", [][]byte{reply(on1), done()}},
		{"a known link without bindings", "2001:db8:5::1", [][]byte{reply()}},
	} {
		t.Run(tc.name, func(t *testing.T) { w.expect(t, linkQuery(tc.link), tc.want...) })
	}
}

// RFC 5007 4.4.1, RFC 5460 7.2: a link-address that selects nothing is NotConfigured, for every query type, over both transports.
func TestUnknownLinkIsNotConfigured(t *testing.T) {
	w := landscape()
	for _, link := range []string{"3fff:9::1", "fe80::9", "ff02::1", "::1", "::ffff:192.0.2.1"} {
		want := failure(notConfigured, "no link has the link-address "+link)
		for name, q := range map[string]func() []byte{
			"address":     func() []byte { return addressQuery(link, "2001:db8:3::1") },
			"client-id":   func() []byte { return clientQuery(link, "on-2") },
			"relay-id":    func() []byte { return relayQuery(link, "r") },
			"link":        func() []byte { return linkQuery(link) },
			"remote-id":   func() []byte { return remoteQuery(link, []byte("12345")) },
			"no-such-one": func() []byte { return clientQuery(link, "nobody") },
		} {
			t.Run(name+" "+link, func(t *testing.T) {
				w.expect(t, q(), want)
				if name == "address" || name == "client-id" {
					w.expectUDP(t, q(), want)
				}
			})
		}
	}
}

// RFC 5007 4.4.1: with :: the address itself finds the link; an address on none is NotConfigured, one that nobody has on a known
// link, or that is bound on another link than asked, is an empty success.
func TestByAddressAndLink(t *testing.T) {
	w := landscape()
	w.SetBindings(lease(2, binding.NA, "2001:db8:3::1", "on-2"), lease(3, binding.PD, "3fff:7::/56", "far"))
	far := clientData("far", 100, leasedPrefix("3fff:7::/56"))
	for _, tc := range []struct {
		name, link, address string
		want                [][]byte
	}{
		{"bound, ::", "::", "2001:db8:3::1", [][]byte{reply(one("on-2", "2001:db8:3::1")), done()}},
		{"bound, its link", "2001:db8:2::", "2001:db8:3::1", [][]byte{reply(one("on-2", "2001:db8:3::1")), done()}},
		{"bound, another link", "2001:db8:4::", "2001:db8:3::1", [][]byte{reply()}},
		{"bound on a link that does not hold it, ::", "::", "3fff:7::5", [][]byte{reply(far), done()}},
		{"the same by its link", "2001:db8:4::", "3fff:7::5", [][]byte{reply(far), done()}},
		{"nobody's, on a known link", "::", "2001:db8:3::2", [][]byte{reply()}},
		{"nobody's, on no link", "::", "3fff:8::1", [][]byte{failure(notConfigured, "no link holds 3fff:8::1")}},
		{"nobody's, on no link, a known link", "2001:db8:4::", "3fff:8::1", [][]byte{reply()}},
		{"link-local", "::", "fe80::1", [][]byte{failure(notConfigured, "fe80::1 is not a global unicast address")}},
		{"link-local, a known link", "2001:db8:4::", "fe80::1", [][]byte{failure(notConfigured, "fe80::1 is not a global unicast address")}},
		{"multicast", "::", "ff05::1:3", [][]byte{failure(notConfigured, "ff05::1:3 is not a global unicast address")}},
		{"unspecified", "::", "::", [][]byte{failure(notConfigured, ":: is not a global unicast address")}},
		{"IPv4-mapped", "::", "::ffff:192.0.2.1", [][]byte{failure(notConfigured, "::ffff:192.0.2.1 is not a global unicast address")}},
		{"loopback", "::", "::1", [][]byte{failure(notConfigured, "no link holds ::1")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.expect(t, addressQuery(tc.link, tc.address), tc.want...)
			w.expectUDP(t, addressQuery(tc.link, tc.address), tc.want[0])
		})
	}
}

// RFC 5460 5.3.2: a query by link without a link is no query.
func TestByLinkWithoutLinkIsMalformed(t *testing.T) {
	landscape().expect(t, linkQuery("::"), failure(malformed, "QUERY_BY_LINK_ADDRESS with link-address ::"))
}

// RFC 5007 4.1.2.5, 4.4.1: over UDP, by client-id without a link, a client on several links gets their addresses and no data; each
// of them asked for returns that link. Over TCP (RFC 5460 4) it never does.
func TestClientLinkOverUDP(t *testing.T) {
	links := []leasequerytest.Link{
		netLink(1, []string{"2001:db8::/32"}, "2001:db8:2::"),
		netLink(2, []string{"2001:db8::/64", "2001:db8:2::/64"}),
		netLink(3, []string{"2001:db8:3::/64"}, "2001:db8:9::1"),
		netLink(4, []string{"2001:db8:4::/64"}, "2001:db8:9::1"),
	}
	w := newWorld(links,
		lease(1, binding.NA, "2001:db8:1::1", "wide"), lease(2, binding.NA, "2001:db8:2::1", "wide"), lease(3, binding.NA, "2001:db8:3::1", "wide", spoke(10)),
		lease(3, binding.NA, "2001:db8:3::2", "two", spoke(200)), lease(4, binding.NA, "2001:db8:4::2", "two"),
		lease(4, binding.NA, "2001:db8:4::3", "single"), lease(3, binding.NA, "2001:db8:3::3", "single", ended(binding.Released)),
		lease(1, binding.NA, "2001:db8:1::3", "single", lived(5, 10, 10)))
	on1, on2, on3 := one("wide", "2001:db8:1::1"), one("wide", "2001:db8:2::1"), clientData("wide", 10, iaAddr("2001:db8:3::1", 3590, 7190))
	w.expectUDP(t, clientQuery("::", "wide"), reply(opt(optClientLink, ip("2001:db8:0:1::"), ip("2001:db8::"), ip("2001:db8:3::"))))
	w.expectUDP(t, clientQuery("2001:db8:0:1::", "wide"), reply(on1))
	w.expectUDP(t, clientQuery("2001:db8::", "wide"), reply(on2))
	w.expectUDP(t, clientQuery("2001:db8:3::", "wide"), reply(on3))
	w.expect(t, clientQuery("::", "wide"), reply(on1), data(on2), data(on3), done())
	t.Run("one link is data, not a list; what has ended is on no link", func(t *testing.T) {
		w.expectUDP(t, clientQuery("::", "single"), reply(one("single", "2001:db8:4::3")))
	})
	t.Run("a link-address of several of its links: the one whose prefix holds it", func(t *testing.T) {
		w.expectUDP(t, clientQuery("2001:db8:2::", "wide"), reply(on2))
		w.expect(t, clientQuery("2001:db8:2::", "wide"), reply(on1), data(on2), done())
	})
	t.Run("else the newest", func(t *testing.T) {
		w.expectUDP(t, clientQuery("2001:db8:9::1", "two"), reply(one("two", "2001:db8:4::2")))
	})
	t.Run("nobody", func(t *testing.T) { w.expectUDP(t, clientQuery("::", "nobody"), reply()) })
}

// More links than a datagram can list are refused whole: a list that lacks some would be taken for all.
func TestClientLinkTooLargeForADatagram(t *testing.T) {
	const count = 4093
	var links []leasequerytest.Link
	var bindings []leasequerytest.Binding
	for n := range count {
		a := "2001:db8:" + hexOf(n) + "::"
		links = append(links, netLink(binding.LinkID(n+1), []string{a + "/64"}))
		bindings = append(bindings, lease(binding.LinkID(n+1), binding.NA, a+"1", "everywhere"))
	}
	w := newWorld(links, bindings...)
	ask := func(octets int) []byte {
		me := make([]byte, octets)
		return w.ask(t, leasequery.UDP, nil, msg(msgQuery, opt(optClientID, me), lq(byClientID, "::", opt(optClientID, []byte("everywhere")))))[0]
	}
	if got := ask(16); len(got) != 65527 { // 4 + 20 + 11 + 4 octets in front of the addresses
		t.Errorf("%d links in %d octets, want 65527", count, len(got))
	}
	if got := ask(17); len(got) != 4+21+11+4+2+len("too large for UDP: use TCP") {
		t.Errorf("one octet more is answered with %d octets", len(got))
	}
}
