package bulk

import (
	"net/netip"
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// Each way to say what a requestor relays. The client has a binding behind each of three places, the newest behind the last.
func TestRule17RestrictedBy(t *testing.T) {
	behind := func(sender, link, peer string, inner ...binding.Level) binding.Chain {
		from := netip.Addr{}
		if sender != "" {
			from = netip.MustParseAddr(sender)
		}
		outer := binding.Level{HopCount: uint8(len(inner)), Link: netip.MustParseAddr(link), Peer: netip.MustParseAddr(peer), Options: opt(optRelayID, []byte("relay-1"))}
		return binding.AppendChain(nil, from, append([]binding.Level{outer}, inner...))
	}
	nested := binding.Level{Link: netip.MustParseAddr("2001:db8:1::"), Peer: netip.MustParseAddr("2001:db8:bad::1"), Options: opt(optInterfaceID, []byte("x"))}
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}), link("net2", []string{"2001:db8:2::/64"}),
		aged(lease(binding.NA, "2001:db8:1::1", "\x00\x01one", behind("::1", "2001:db8:1::", "fe80::c")), 3600, 7200, 30),
		aged(lease(binding.NA, "2001:db8:1::2", "\x00\x01one", behind("2001:db8:e::1", "2001:db8:d::1", "2001:db8:f::2", nested)), 3600, 7200, 20),
		aged(lease(binding.NA, "2001:db8:1::3", "\x00\x01one", nil), 3600, 7200, 10),
		aged(lease(binding.NA, "2001:db8:2::4", "\x00\x01one", behind("2001:db8:e::9", "2001:db8:2::", "fe80::c")), 3600, 7200, 5),
	)
	first := client("\x00\x01one", 30, iaAddr("2001:db8:1::1", 3570, 7170), opt(optRelayData, addr("::1"),
		relayForw(0, "2001:db8:1::", "fe80::c", opt(optRelayID, []byte("relay-1")))))
	second := client("\x00\x01one", 20, iaAddr("2001:db8:1::2", 3580, 7180), opt(optRelayData, addr("2001:db8:e::1"),
		relayForw(1, "2001:db8:d::1", "2001:db8:f::2", opt(optRelayID, []byte("relay-1")),
			opt(optRelayMsg, relayForw(0, "2001:db8:1::", "2001:db8:bad::1", opt(optInterfaceID, []byte("x")))))))
	third := client("\x00\x01one", 5, iaAddr("2001:db8:2::4", 3595, 7195), opt(optRelayData, addr("2001:db8:e::9"),
		relayForw(0, "2001:db8:2::", "fe80::c", opt(optRelayID, []byte("relay-1")))))
	addresses := func(a ...string) (r leasequery.Restriction) {
		for _, s := range a {
			r.Addresses = append(r.Addresses, netip.MustParseAddr(s))
		}
		return r
	}
	for name, tc := range map[string]struct {
		to   leasequery.Restriction
		want []byte
	}{
		"its source address, by default":                {leasequery.Restriction{}, first},
		"a link-address":                                {addresses("2001:db8:d::1"), second},
		"the source of the outermost message":           {addresses("2001:db8:e::1"), second},
		"the peer-address of the level above":           {addresses("2001:db8:f::2"), second},
		"the innermost peer-address, which is a client": {addresses("2001:db8:bad::1"), nil},
		"an address of nobody":                          {addresses("2001:db8:bad::2"), nil},
		"a link":                                        {leasequery.Restriction{Links: []netip.Prefix{netip.MustParsePrefix("2001:db8:2::/48")}}, third},
		"a link of nobody":                              {leasequery.Restriction{Links: []netip.Prefix{netip.MustParsePrefix("2001:db8:77::/48")}}, nil},
		"a relay-id of nobody":                          {leasequery.Restriction{RelayIDs: [][]byte{[]byte("relay-")}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, w, Config{}, loopback(func(r *leasequery.Requestor) { r.Restricted = &tc.to }))
			oro := opt(optORO, u16(optRelayData))
			answer := [][]byte{answerOK(1)}
			if tc.want != nil {
				answer = [][]byte{answerOK(1, tc.want), done(1)}
			}
			s.ask(t, lqMsg(1, lq(qClientID, "::", opt(optClientID, []byte("\x00\x01one")), oro)), answer...)
			s.ask(t, lqMsg(1, lq(qRelayID, "::", opt(optRelayID, []byte("relay-1")), oro)), answer...)
			// What it may not see is as if nobody had it.
			for a, holder := range map[string][]byte{"2001:db8:1::1": first, "2001:db8:1::2": second, "2001:db8:1::3": nil, "2001:db8:2::4": third} {
				answer := [][]byte{answerOK(1)}
				if holder != nil && string(holder) == string(tc.want) {
					answer = [][]byte{answerOK(1, holder), done(1)}
				}
				s.ask(t, lqMsg(1, lq(qAddress, "::", iaAddr(a, 0, 0), oro)), answer...)
			}
		})
	}
}
