package bulk

import (
	"net/netip"
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

func TestRule17StrangersAreClosedAtOnce(t *testing.T) {
	s := serve(t, house(t), Config{}, leasequery.Requestor{Name: "elsewhere", Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}})
	w := dialWire(t, s.addr)
	w.expectEnd()
	if n := s.metric(t, MetricRefused, "stranger"); n != 1 {
		t.Errorf("%s{stranger} = %v, want 1", MetricRefused, n)
	}
}

// loopback is a requestor stanza for the tests' own address.
func loopback(set func(*leasequery.Requestor)) leasequery.Requestor {
	r := leasequery.Requestor{Name: "loopback", Prefixes: []netip.Prefix{netip.MustParsePrefix("::1/128")}}
	set(&r)
	return r
}

func TestRule17QueryTypes(t *testing.T) {
	s := serve(t, house(t), Config{}, loopback(func(r *leasequery.Requestor) { r.QueryTypes = []dhcpv6.QueryType{qLink} }))
	w := dialWire(t, s.addr)
	for _, kind := range []int{qAddress, qClientID, qRelayID, qRemoteID} {
		w.send(lqMsg(kind, lq(kind, "::", iaAddr("2001:db8:1::a", 0, 0), opt(optClientID, []byte{0, 1}), opt(optRelayID, []byte{0, 1}), opt(optRemoteID, u32(9), []byte("a")))))
		w.expectStatus(msgAnswer, kind, stNotAllowed)
	}
	w.send(lqMsg(5, lq(qLink, "2001:db8:2::")))
	w.expect(answerOK(5, clientAOn2), done(5))
}

func TestRule17LimitsOfAStanza(t *testing.T) {
	s := serve(t, house(t), Config{}, loopback(func(r *leasequery.Requestor) { r.MaxConnections = 1 }))
	first := dialWire(t, s.addr)
	first.expectOpen()
	dialWire(t, s.addr).expectOpen()
	first.expectEnd()
}

func TestRule17SensitiveOptionsAndRelayData(t *testing.T) {
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}), lease(binding.NA, "2001:db8:1::1", "\x00\x01one", onRelay("2001:db8:1::", "relay-1", "port-1")))
	s := serve(t, w, Config{}, loopback(func(r *leasequery.Requestor) {
		r.RelayData = leasequery.RelayDataAlways
		r.Sensitive = []dhcpv6.OptionCode{optRemoteID}
	}))
	message := relayForw(0, "2001:db8:1::", "fe80::c", opt(optInterfaceID, []byte("ge-0/0/1")), opt(optRelayID, []byte("relay-1")))
	s.ask(t, lqMsg(1, lq(qLink, "2001:db8:1::")),
		answerOK(1, client("\x00\x01one", 100, leased("2001:db8:1::1"), opt(optRelayData, addr("2001:db8:1::"), message))), done(1))
}

// A restricted requestor sees what it relays, binding by binding, also of clients that have more.
func TestRule17Restricted(t *testing.T) {
	own, other := onRelay("2001:db8:1::", "relay-1", "port-1"), onRelay("2001:db8:1::", "relay-2", "port-2")
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}),
		lease(binding.NA, "2001:db8:1::1", "\x00\x01one", own), lease(binding.NA, "2001:db8:1::2", "\x00\x01one", other),
		lease(binding.NA, "2001:db8:1::3", "\x00\x01two", other))
	s := serve(t, w, Config{}, loopback(func(r *leasequery.Requestor) {
		r.Restricted = &leasequery.Restriction{RelayIDs: [][]byte{[]byte("relay-1")}}
	}))
	want := client("\x00\x01one", 100, leased("2001:db8:1::1"))
	for _, q := range [][]byte{
		lq(qLink, "2001:db8:1::"),
		lq(qAddress, "::", iaAddr("2001:db8:1::1", 0, 0)),
		lq(qClientID, "::", opt(optClientID, []byte("\x00\x01one"))),
	} {
		s.ask(t, lqMsg(1, q), answerOK(1, want), done(1))
	}
	for _, q := range [][]byte{
		lq(qAddress, "::", iaAddr("2001:db8:1::3", 0, 0)),
		lq(qClientID, "::", opt(optClientID, []byte("\x00\x01two"))),
		lq(qRelayID, "::", opt(optRelayID, []byte("relay-2"))),
	} {
		s.ask(t, lqMsg(1, q), answerOK(1))
	}
}
