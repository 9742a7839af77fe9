package leasequery_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/leasequery/leasequerytest"
)

// house is the small world that most cases ask: two links; client a on both, client b on the first, c with a prefix alone.
func house() *world {
	relay := chain("", level(0, "2001:db8:ffff::1", "fe80::c", opt(optRelayID, []byte("relay-1")), opt(optRemoteID, u32(9), []byte("port-1"))))
	other := chain("", level(0, "2001:db8:ffff::1", "fe80::c", opt(optRelayID, []byte("relay-1")), opt(optRemoteID, u32(9), []byte("port-2"))))
	return newWorld([]leasequerytest.Link{
		netLink(1, []string{"2001:db8:1::/64"}, "2001:db8:ffff::1"),
		netLink(2, []string{"2001:db8:2::/64", "2001:db8:3::/64"}),
	},
		lease(1, binding.PD, "2001:db8:a00::/56", "client-a", through(relay)),
		lease(1, binding.NA, "2001:db8:1::b", "client-a", through(relay), spoke(50)),
		lease(1, binding.TA, "2001:db8:1::5", "client-a", through(relay)),
		lease(1, binding.NA, "2001:db8:1::a", "client-a", through(relay)),
		lease(1, binding.PD, "2001:db8:a00:0:8000::/65", "client-a", through(relay)),
		lease(1, binding.PD, "2001:db8:9ff:ff00::/56", "client-a", through(relay)),
		lease(1, binding.NA, "2001:db8:1::c", "client-b", through(other)),
		lease(2, binding.NA, "2001:db8:2::d", "client-a"),
		lease(2, binding.PD, "2001:db8:b00::/56", "client-c"),
	)
}

var (
	clientAOn1 = clientData("client-a", 50, cat(leasedAddr("2001:db8:1::a"), iaAddr("2001:db8:1::b", 3550, 7150), leasedAddr("2001:db8:1::5"),
		leasedPrefix("2001:db8:9ff:ff00::/56"), leasedPrefix("2001:db8:a00::/56"), leasedPrefix("2001:db8:a00:0:8000::/65")))
	clientBOn1 = clientData("client-b", 100, leasedAddr("2001:db8:1::c"))
	clientAOn2 = clientData("client-a", 100, leasedAddr("2001:db8:2::d"))
	clientCOn2 = clientData("client-c", 100, leasedPrefix("2001:db8:b00::/56"))
)

// RFC 5007 4.1.2.2, RFC 5460 5.2.1: a message for each client and link; every address and prefix that the client has there, though
// one alone was asked for; NA, TA, PD, by address.
func TestEachQueryTypeTellsOfWholeClients(t *testing.T) {
	w := house()
	for _, tc := range []struct {
		name  string
		query []byte
		want  [][]byte
	}{
		{"by an address of four bindings", addressQuery("::", "2001:db8:1::b"), [][]byte{reply(clientAOn1), done()}},
		{"by a temporary address", addressQuery("::", "2001:db8:1::5"), [][]byte{reply(clientAOn1), done()}},
		{"by an address in a delegated prefix", addressQuery("::", "2001:db8:a00::77"), [][]byte{reply(clientAOn1), done()}},
		{"by a delegated prefix's own address", addressQuery("::", "2001:db8:b00::"), [][]byte{reply(clientCOn2), done()}},
		{"by an address on the link asked for", addressQuery("2001:db8:1::", "2001:db8:1::c"), [][]byte{reply(clientBOn1), done()}},
		{"by client-id: a message for each link", clientQuery("::", "client-a"), [][]byte{reply(clientAOn1), data(clientAOn2), done()}},
		{"by client-id on one link", clientQuery("2001:db8:3::", "client-a"), [][]byte{reply(clientAOn2), done()}},
		{"by relay-id", relayQuery("::", "relay-1"), [][]byte{reply(clientAOn1), data(clientBOn1), done()}},
		{"by relay-id on the link asked for", relayQuery("2001:db8:1::9", "relay-1"), [][]byte{reply(clientAOn1), data(clientBOn1), done()}},
		{"by relay-id on a link without it", relayQuery("2001:db8:2::", "relay-1"), [][]byte{reply()}},
		{"by link", linkQuery("2001:db8:2::"), [][]byte{reply(clientAOn2), data(clientCOn2), done()}},
		{"by remote-id", remoteQuery("::", cat(u32(9), []byte("port-2"))), [][]byte{reply(clientBOn1), done()}},
		{"by remote-id on a link without it", remoteQuery("2001:db8:2::", cat(u32(9), []byte("port-2"))), [][]byte{reply()}},
	} {
		t.Run(tc.name, func(t *testing.T) { w.expect(t, tc.query, tc.want...) })
	}
}

// RFC 5460 5.2.2, 6.3: a success without a client is one LEASEQUERY-REPLY, without status and without LEASEQUERY-DONE.
func TestNothingFoundIsAnEmptySuccess(t *testing.T) {
	w := house()
	for name, q := range map[string][]byte{
		"an address that nobody has, on a known link": addressQuery("::", "2001:db8:1::99"),
		"a client-id that nobody has":                 clientQuery("::", "client-z"),
		"the beginning of a client-id":                clientQuery("::", "client-"),
		"a relay-id that nobody has":                  relayQuery("::", "relay-9"),
		"a remote-id of another enterprise":           remoteQuery("::", cat(u32(8), []byte("port-1"))),
		"a remote-id that goes on":                    remoteQuery("::", cat(u32(9), []byte("port-10"))),
	} {
		t.Run(name, func(t *testing.T) { w.expect(t, q, reply()) })
	}
	t.Run("a link without bindings", func(t *testing.T) {
		newWorld([]leasequerytest.Link{netLink(1, []string{"2001:db8:1::/64"})}).expect(t, linkQuery("2001:db8:1::"), reply())
	})
}

// RFC 5007 3.3: the exact address first, else the delegated prefix that contains it, and the longest of those; a prefix that does
// not contain it never matches.
func TestByAddressFindsTheLongestPrefixThatContainsIt(t *testing.T) {
	w := newWorld([]leasequerytest.Link{netLink(1, []string{"2001:db8::/32"})},
		lease(1, binding.PD, "2001:db8:a00::/40", "wide"),
		lease(1, binding.PD, "2001:db8:a00::/56", "narrow"),
		lease(1, binding.NA, "2001:db8:a00::1", "exact"),
		lease(1, binding.PD, "2001:db8:a00:100::/57", "neighbour"),
	)
	for address, duid := range map[string]string{
		"2001:db8:a00::1": "exact", "2001:db8:a00::2": "narrow", "2001:db8:a00:ff:ffff:ffff:ffff:ffff": "narrow",
		"2001:db8:a00:17f::": "neighbour", "2001:db8:a00:180::": "wide", "2001:db8:aff::9": "wide",
	} {
		got := w.ask(t, leasequery.TCP, nil, addressQuery("::", address))
		if !bytes.Contains(got[0], opt(optClientData, opt(optClientID, []byte(duid)))[4:]) {
			t.Errorf("%s: want client %q, got %x", address, duid, got[0])
		}
	}
	w.expect(t, addressQuery("::", "2001:db8:b00::1"), reply())
}

// RFC 5007 4.1.2.2: what remains of each binding's lifetimes, from its own last transaction.
func TestLifetimesAreWhatRemains(t *testing.T) {
	const inf = binding.Infinity
	for _, tc := range []struct {
		name                              string
		preferred, valid                  uint32
		millis                            int64 // since the last transaction
		wantPreferred, wantValid, wantCLT uint32
	}{
		{"both shrink", 100, 200, 30_000, 70, 170, 30},
		{"preferred has run out: 0, not the full one again", 100, 200, 150_000, 0, 50, 150},
		{"infinite ones never age", inf, inf, 1_000_000, inf, inf, 1000},
		{"valid infinite, preferred not", 1500, inf, 1_000_000, 500, inf, 1000},
		{"preferred is never above valid", inf, 1000, 100_000, 900, 900, 100},
		{"preferred granted above valid", 2000, 1000, 100_000, 900, 900, 100},
		{"preferred 0 stays 0", 0, 1000, 100_000, 0, 900, 100},
		{"a part of a second has not passed", 100, 200, 999, 100, 200, 0},
		{"the last millisecond", 100, 200, 199_999, 0, 1, 199},
		{"a transaction that seems to lie ahead", 100, 200, -5000, 100, 200, 0},
		{"one above infinity's half", inf - 1, inf - 1, 1000, inf - 2, inf - 2, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld([]leasequerytest.Link{netLink(1, []string{"2001:db8::/32"})},
				lease(1, binding.NA, "2001:db8::1", "c", func(b *leasequerytest.Binding) {
					b.Preferred, b.Valid, b.LastTransaction = tc.preferred, tc.valid, now-binding.Time(tc.millis)
				}))
			want := clientData("c", tc.wantCLT, iaAddr("2001:db8::1", tc.wantPreferred, tc.wantValid))
			w.expect(t, linkQuery("2001:db8::"), reply(want), done())
			w.expectUDP(t, addressQuery("::", "2001:db8::1"), reply(want))
		})
	}
}

// RFC 5007 4.1.2.3: CLT_TIME is of the newest transaction among what is told.
func TestCLTTimeIsOfTheNewestBinding(t *testing.T) {
	w := newWorld([]leasequerytest.Link{netLink(1, []string{"2001:db8::/32"})},
		lease(1, binding.NA, "2001:db8::1", "c", spoke(500)),
		lease(1, binding.NA, "2001:db8::2", "c", spoke(20)),
		lease(1, binding.PD, "2001:db8:1::/56", "c", spoke(300)),
		lease(1, binding.NA, "2001:db8::3", "c", spoke(1), ended(binding.Released)))
	w.expect(t, linkQuery("2001:db8::"), reply(clientData("c", 20, cat(iaAddr("2001:db8::1", 3100, 6700), iaAddr("2001:db8::2", 3580, 7180),
		iaPrefix("2001:db8:1::/56", 3300, 6900)))), done())
}

// A client of which nothing is in force is not told, nor is an ended binding of another; not by any query, in no message, however
// many come before.
func TestEndedBindingsAreNotShown(t *testing.T) {
	relay := chain("", level(0, "2001:db8::1", "fe80::c", opt(optRelayID, []byte("r")), opt(optRemoteID, u32(9), []byte("p"))))
	var bindings []leasequerytest.Binding
	var want [][]byte
	for n := range 250 { // more than two of Kea's pages
		a, duid := fmt.Sprintf("2001:db8::%x", n+0x1000), fmt.Sprintf("live-%03d", n)
		bindings = append(bindings, lease(1, binding.NA, a, duid, through(relay)))
		for k, s := range []binding.State{binding.Expired, binding.Released, binding.Declined, binding.Deleted, binding.Reassigned, binding.Swept, binding.Moved} {
			bindings = append(bindings,
				lease(1, binding.NA, fmt.Sprintf("2001:db8:0:%x::%x", k+1, n+1), duid, through(relay), ended(s)),
				lease(1, binding.PD, fmt.Sprintf("2001:db8:%x:%x::/64", k+1, n), fmt.Sprintf("gone-%03d", n), through(relay), ended(s)))
		}
		bindings = append(bindings, lease(1, binding.NA, fmt.Sprintf("2001:db8:0:ff::%x", n), fmt.Sprintf("over-%03d", n), through(relay), lived(10, 100, 100)))
		message := data
		if n == 0 {
			message = reply
		}
		want = append(want, message(clientData(duid, 100, leasedAddr(a))))
	}
	want = append(want, done())
	w := newWorld([]leasequerytest.Link{netLink(1, []string{"2001:db8::/32"})}, bindings...)
	w.expect(t, linkQuery("2001:db8::"), want...)
	w.expect(t, relayQuery("::", "r"), want...)
	w.expect(t, remoteQuery("::", cat(u32(9), []byte("p"))), want...)
	w.expect(t, clientQuery("::", "gone-001"), reply())
	w.expect(t, clientQuery("::", "over-001"), reply())
	w.expect(t, addressQuery("::", "2001:db8:0:1::1"), reply())
	w.expect(t, addressQuery("::", "2001:db8:0:ff::1"), reply())
	w.expectUDP(t, clientQuery("::", "over-001"), reply())
}

// What has run out, and only awaits its removal, hides nothing: the delegated prefix around the address is found.
func TestAnAddressThatRanOutDoesNotHideThePrefixAroundIt(t *testing.T) {
	w := newWorld([]leasequerytest.Link{netLink(1, []string{"2001:db8:1::/64"})},
		lease(1, binding.NA, "2001:db8:a00::1", "old", lived(10, 100, 100)),
		lease(1, binding.PD, "2001:db8:a00::/56", "router"))
	w.expect(t, addressQuery("::", "2001:db8:a00::1"), reply(clientData("router", 100, leasedPrefix("2001:db8:a00::/56"))), done())
	w.expectUDP(t, addressQuery("::", "2001:db8:a00::1"), reply(clientData("router", 100, leasedPrefix("2001:db8:a00::/56"))))
	w.SetBindings(lease(1, binding.NA, "2001:db8:a00::1", "old", lived(10, 100, 100)))
	w.expect(t, addressQuery("::", "2001:db8:a00::1"), failure(notConfigured, "no link holds 2001:db8:a00::1"))
}

// Two devices with one duplicate DUID on two links are two messages (RFC 8987 3.4); on one link they are one client.
func TestOneDUIDOnSeveralInterfaces(t *testing.T) {
	w := newWorld([]leasequerytest.Link{netLink(1, []string{"2001:db8:1::/64"}), netLink(2, []string{"2001:db8:2::/64"})},
		lease(1, binding.NA, "2001:db8:1::1", "same"), lease(2, binding.NA, "2001:db8:2::1", "same"),
		lease(1, binding.NA, "2001:db8:1::2", "same", func(b *leasequerytest.Binding) { b.IAID = 2 }))
	w.expect(t, clientQuery("::", "same"),
		reply(clientData("same", 100, cat(leasedAddr("2001:db8:1::1"), leasedAddr("2001:db8:1::2")))),
		data(clientData("same", 100, leasedAddr("2001:db8:2::1"))), done())
}

// A client too large for a message goes on in further LEASEQUERY-DATA with the same CLIENTID, CLT_TIME, options and relay data;
// every binding once, in order; each message as full as it can be.
func TestAClientTooLargeForAMessageGoesOn(t *testing.T) {
	relay := chain("2001:db8::1", level(0, "2001:db8::1", "fe80::c", opt(optInterfaceID, []byte("x"))))
	const count = 6000
	var bindings []leasequerytest.Binding
	var all []byte
	for n := range count {
		a := [16]byte(ip("2001:db8:1::"))
		binary.BigEndian.PutUint16(a[14:], uint16(n))
		s := netip.AddrFrom16(a).String()
		bindings = append(bindings, lease(1, binding.NA, s, "large", through(relay), with(opt(optFQDN, []byte("\x00\x04host")))))
		all = append(all, leasedAddr(s)...)
	}
	for n := range count / 2 {
		p := fmt.Sprintf("2001:db8:a:%x::/64", n)
		bindings = append(bindings, lease(1, binding.PD, p, "large", through(relay)))
		all = append(all, leasedPrefix(p)...)
	}
	bindings = append(bindings, lease(1, binding.NA, "2001:db8:2::1", "small"))
	w := newWorld([]leasequerytest.Link{netLink(1, []string{"2001:db8::/32"})}, bindings...)
	got := w.ask(t, leasequery.TCP, nil, linkQuery("2001:db8::", oro(optRelayData, optFQDN)))
	end := cat(opt(optCLT, u32(100)), opt(optFQDN, []byte("\x00\x04host")), opt(optRelayData, ip("2001:db8::1"),
		relayForw(0, "2001:db8::1", "fe80::c", opt(optInterfaceID, []byte("x")))))
	var told []byte
	for n, m := range got[:len(got)-2] {
		head := data()
		if n == 0 {
			head = reply()
		}
		if len(m) > 65535 || n < len(got)-3 && len(m) < 65535-29 {
			t.Errorf("message %d has %d octets", n, len(m))
		}
		head = cat(head, u16(optClientData), u16(len(m)-len(head)-4), opt(optClientID, []byte("large")))
		if !bytes.HasPrefix(m, head) || !bytes.HasSuffix(m, end) {
			t.Fatalf("message %d: %x…%x, want %x…%x", n, m[:60], m[len(m)-100:], head, end)
		}
		told = append(told, m[len(head):len(m)-len(end)]...)
	}
	if !bytes.Equal(told, all) {
		t.Errorf("%d octets of bindings, want %d, each binding once and in order", len(told), len(all))
	}
	compare(t, got[len(got)-2:], [][]byte{data(clientData("small", 100, leasedAddr("2001:db8:2::1"))), done()})
	w.expectUDP(t, addressQuery("::", "2001:db8:1::7"), failure(unspecFail, "too large for UDP: use TCP"))
}

// A LEASEQUERY-REPLY that overflows alone: the same client, nothing behind it.
func TestTheReplyItselfMayOverflow(t *testing.T) {
	var bindings []leasequerytest.Binding
	for n := range 2340 { // one more than fits beside the identifiers
		a := [16]byte(ip("2001:db8::"))
		binary.BigEndian.PutUint16(a[14:], uint16(n))
		bindings = append(bindings, lease(1, binding.NA, netip.AddrFrom16(a).String(), "large"))
	}
	w := newWorld([]leasequerytest.Link{netLink(1, []string{"2001:db8::/32"})}, bindings...)
	got := w.ask(t, leasequery.TCP, nil, linkQuery("2001:db8::"))
	if len(got) != 3 || got[1][0] != msgData || !bytes.Equal(got[2], done()) {
		t.Fatalf("%d messages, want REPLY, DATA, DONE", len(got))
	}
}
