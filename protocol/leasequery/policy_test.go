package leasequery_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/leasequery/leasequerytest"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// A requestor is found by the longest prefix that holds its address; who is in none is a stranger.
func TestPolicyLookup(t *testing.T) {
	p, err := leasequery.NewPolicy([]leasequery.Requestor{
		{Name: "wide", Prefixes: prefixes("2001:db8::/32", "192.0.2.0/24")},
		{Name: "one", Prefixes: prefixes("2001:db8:1::1/128")},
		{Name: "net", Prefixes: prefixes("2001:db8:1::ffff/64", "192.0.2.128/25")},
		{Name: "link", Prefixes: prefixes("fe80::/64")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		"2001:db8:9::": "wide", "2001:db8:1::1": "one", "2001:db8:1::2": "net", "2001:db9::": "", "::": "", "192.0.2.1": "wide",
		"192.0.2.200": "net", "::ffff:192.0.2.200": "net", "198.51.100.1": "", "fe80::1%eth0": "link",
	} {
		r, ok := p.Lookup(netip.MustParseAddr(address))
		if ok != (want != "") || ok && r.Name != want {
			t.Errorf("%s: %v %v, want %q", address, r, ok, want)
		}
	}
	for name, nobody := range map[string]*leasequery.Policy{"nil": nil, "zero": {}} {
		if r, ok := nobody.Lookup(netip.MustParseAddr("::1")); ok {
			t.Errorf("the %s policy knows %v", name, r)
		}
	}
}

func TestPolicyThatMakesNoSense(t *testing.T) {
	for text, list := range map[string][]leasequery.Requestor{
		`requestor 1 ("b"): 2001:db8::1/32 is requestor "a" already`: {{Name: "a", Prefixes: prefixes("2001:db8::/32")}, {Name: "b", Prefixes: prefixes("2001:db8::1/32")}},
		`requestor 0 ("a"): bad prefix`:                              {{Name: "a", Prefixes: []netip.Prefix{{}}}},
	} {
		if _, err := leasequery.NewPolicy(list); !errors.Is(err, leasequery.ErrPolicy) || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want %q", err, text)
		}
	}
}

// RFC 5007 4.4.1, RFC 5460 7.1: a known requestor without the right to a query type gets NotAllowed.
func TestQueryTypesOfARequestor(t *testing.T) {
	r := &leasequery.Requestor{QueryTypes: []dhcpv6.QueryType{byClientID, byRelayID}}
	for name, tc := range map[string]struct {
		query []byte
		want  []byte
	}{
		"allowed":     {clientQuery("::", "client-b"), reply(clientBOn1)},
		"not allowed": {addressQuery("::", "2001:db8:1::c"), failure(notAllowed, "QUERY_BY_ADDRESS is not allowed to this requestor")},
		"unknown":     {query(lq(9, "::")), failure(unknownQueryType, "query type 9 is unknown")},
	} {
		t.Run(name, func(t *testing.T) {
			for _, over := range []leasequery.Transport{leasequery.TCP, leasequery.UDP} {
				q := append([]byte(nil), tc.query...)
				compare(t, house().ask(t, over, r, q)[:1], [][]byte{tc.want})
			}
		})
	}
}

// A restricted requestor sees the bindings that it relays and no others, though rule and RFC want the client whole.
func TestRestrictedRequestor(t *testing.T) {
	mine := chain("2001:db8:ffff::1", level(1, "::", "fe80::99", opt(optRelayID, []byte("agg"))), level(0, "2001:db8:1::1", "fe80::c", opt(optRelayID, []byte("mine"))))
	below := chain("2001:db8:aaaa::1", level(1, "2001:db8:aaaa::1", "2001:db8:ffff::1"), level(0, "::", "fe80::c"))
	linked := chain("", level(0, "2001:db8:ffff::1", "fe80::c"))
	theirs := chain("2001:db8:bbbb::1", level(0, "2001:db8:1::2", "2001:db8:ffff::1", opt(optRelayID, []byte("theirs")), opt(optRemoteID, u32(1), []byte("2001:db8:ffff::1"))))
	w := newWorld([]leasequerytest.Link{netLink(1, []string{"2001:db8:1::/64"}), netLink(2, []string{"2001:db8:2::/64"})},
		lease(1, binding.NA, "2001:db8:1::a", "a", through(mine), spoke(300)),
		lease(1, binding.NA, "2001:db8:1::b", "a", through(theirs), spoke(10), with(opt(optFQDN, []byte("\x00theirs")))),
		lease(1, binding.PD, "2001:db8:a::/48", "a", through(below), spoke(200)),
		lease(1, binding.PD, "2001:db8:b::/48", "a", spoke(5)),
		lease(1, binding.NA, "2001:db8:1::c", "b", through(theirs)),
		lease(1, binding.NA, "2001:db8:a::7", "b", through(theirs)),
		lease(2, binding.NA, "2001:db8:2::a", "a", through(linked)),
		lease(2, binding.NA, "2001:db8:2::b", "b"),
	)
	bySource := cat(iaAddr("2001:db8:1::a", 3300, 6900), iaPrefix("2001:db8:a::/48", 3400, 7000))
	for _, tc := range []struct {
		name     string
		restrict leasequery.Restriction
		query    []byte
		want     [][]byte
	}{
		{"by default its own address: sender, link-address, peer-address of the level above", leasequery.Restriction{}, clientQuery("::", "a"),
			[][]byte{reply(clientData("a", 200, bySource)), data(clientData("a", 100, leasedAddr("2001:db8:2::a"))), done()}},
		{"no options of a binding that it does not see", leasequery.Restriction{}, clientQuery("2001:db8:1::", "a", oro(optFQDN)),
			[][]byte{reply(clientData("a", 200, bySource)), done()}},
		{"an address of another's binding is as if nobody had it", leasequery.Restriction{}, addressQuery("::", "2001:db8:1::b"), [][]byte{reply()}},
		{"not even if a prefix of its own is around it", leasequery.Restriction{}, addressQuery("::", "2001:db8:a::7"), [][]byte{failure(notConfigured, "no link holds 2001:db8:a::7")}},
		{"a prefix of another's binding, on no link", leasequery.Restriction{}, addressQuery("::", "2001:db8:b::1"),
			[][]byte{failure(notConfigured, "no link holds 2001:db8:b::1")}},
		{"another's client", leasequery.Restriction{}, clientQuery("::", "b"), [][]byte{reply()}},
		{"another's relay-id", leasequery.Restriction{}, relayQuery("::", "theirs"), [][]byte{reply()}},
		{"a link as far as it relays it", leasequery.Restriction{}, linkQuery("2001:db8:1::"), [][]byte{reply(clientData("a", 200, bySource)), done()}},
		{"named addresses: not its own", leasequery.Restriction{Addresses: []netip.Addr{netip.MustParseAddr("2001:db8:aaaa::1")}}, clientQuery("2001:db8:1::", "a"),
			[][]byte{reply(clientData("a", 200, iaPrefix("2001:db8:a::/48", 3400, 7000))), done()}},
		{"relay-id at an inner level", leasequery.Restriction{RelayIDs: [][]byte{[]byte("mine")}}, clientQuery("2001:db8:1::", "a"),
			[][]byte{reply(clientData("a", 300, iaAddr("2001:db8:1::a", 3300, 6900))), done()}},
		{"relay-id at the outer level", leasequery.Restriction{RelayIDs: [][]byte{[]byte("x"), []byte("agg")}}, relayQuery("::", "mine"),
			[][]byte{reply(clientData("a", 300, iaAddr("2001:db8:1::a", 3300, 6900))), done()}},
		{"half a relay-id", leasequery.Restriction{RelayIDs: [][]byte{[]byte("min")}}, clientQuery("::", "a"), [][]byte{reply()}},
		{"link prefixes: also what came unrelayed", leasequery.Restriction{Links: prefixes("2001:db8:2::/63")}, clientQuery("::", "b"),
			[][]byte{reply(clientData("b", 100, leasedAddr("2001:db8:2::b"))), done()}},
		{"a longer prefix than the link's", leasequery.Restriction{Links: prefixes("2001:db8:2::/65")}, clientQuery("::", "b"), [][]byte{reply()}},
		{"the unspecified address is nobody's", leasequery.Restriction{Addresses: []netip.Addr{netip.IPv6Unspecified()}}, clientQuery("::", "a"), [][]byte{reply()}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			compare(t, w.ask(t, leasequery.TCP, &leasequery.Requestor{Restricted: &tc.restrict}, tc.query), tc.want)
		})
	}
	t.Run("relay data is of a binding that it sees", func(t *testing.T) {
		message := relayForw(1, "2001:db8:aaaa::1", "2001:db8:ffff::1", opt(optRelayMsg, relayForw(0, "::", "fe80::c")))
		compare(t, w.ask(t, leasequery.TCP, &leasequery.Requestor{Restricted: &leasequery.Restriction{}}, clientQuery("2001:db8:1::", "a", oro(optRelayData))),
			[][]byte{reply(clientData("a", 200, bySource, opt(optRelayData, ip("2001:db8:aaaa::1"), message))), done()})
	})
	t.Run("over UDP only links that it sees are listed", func(t *testing.T) {
		r := &leasequery.Requestor{Restricted: &leasequery.Restriction{RelayIDs: [][]byte{[]byte("mine")}}}
		compare(t, w.ask(t, leasequery.UDP, r, clientQuery("::", "a")), [][]byte{reply(clientData("a", 300, iaAddr("2001:db8:1::a", 3300, 6900)))})
		compare(t, w.ask(t, leasequery.UDP, &leasequery.Requestor{}, clientQuery("::", "a")), [][]byte{reply(opt(optClientLink, ip("2001:db8:1::"), ip("2001:db8:2::")))})
	})
}
