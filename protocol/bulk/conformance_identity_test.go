package bulk

import (
	"net/netip"
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// optAuth is OPTION_AUTH (RFC 8415 21.11), which leasequery has no use for.
const optAuth = 11

// RFC 4649 5: the enterprise number and the remote-id are one octet string.
func TestRFC4649RemoteIDIsOneString(t *testing.T) {
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}),
		lease(binding.NA, "2001:db8:1::1", "\x00\x01one", onRelay("2001:db8:1::9", "relay-1", "Port\x00-\xff")))
	s := serve(t, w, Config{})
	ask := func(v ...[]byte) []byte { return lqMsg(1, lq(qRemoteID, "::", opt(optRemoteID, v...))) }
	s.ask(t, ask(u32(9), []byte("Port\x00-\xff")), answerOK(1, client("\x00\x01one", 100, leased("2001:db8:1::1"))), done(1))
	for name, other := range map[string][]byte{
		"a part":                 ask(u32(9), []byte("Port\x00-")),
		"more":                   ask(u32(9), []byte("Port\x00-\xff\x00")),
		"up to the NUL":          ask(u32(9), []byte("Port")),
		"another letter case":    ask(u32(9), []byte("port\x00-\xff")),
		"another enterprise":     ask(u32(10), []byte("Port\x00-\xff")),
		"enterprise turned over": ask(u32(9<<24), []byte("Port\x00-\xff")),
		"the border elsewhere":   ask(u32(0), u32(9), []byte("Port\x00-\xff")),
	} {
		t.Run(name, func(t *testing.T) { s.ask(t, other, answerOK(1)) })
	}
}

// RFC 6939 6: the client's link-layer address is what a relay says of it, and nothing anywhere else.
func TestRFC6939LinkLayerAddress(t *testing.T) {
	near, far := opt(optLinkLayer, u16(1), []byte{2, 0, 0, 0, 0, 1}), opt(optLinkLayer, u16(1), []byte{2, 0, 0, 0, 0, 2})
	chain := binding.AppendChain(nil, netip.MustParseAddr("2001:db8:f::1"), []binding.Level{
		{HopCount: 1, Link: netip.MustParseAddr("2001:db8:1::"), Peer: netip.MustParseAddr("2001:db8:f::2"), Options: far},
		{Link: netip.MustParseAddr("2001:db8:1::"), Peer: netip.MustParseAddr("fe80::c"), Options: near},
	})
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}), lease(binding.NA, "2001:db8:1::1", "\x00\x01one", chain))
	s := serve(t, w, Config{})
	plain := client("\x00\x01one", 100, leased("2001:db8:1::1"))
	t.Run("in a query it says nothing", func(t *testing.T) {
		s.ask(t, lqMsg(1, near, lq(qLink, "2001:db8:1::", far)), answerOK(1, plain), done(1))
	})
	t.Run("it is no option of the client", func(t *testing.T) {
		s.ask(t, lqMsg(1, lq(qLink, "2001:db8:1::", opt(optORO, u16(optLinkLayer)))), answerOK(1, plain), done(1))
	})
	t.Run("each relay's stays at its level", func(t *testing.T) {
		message := relayForw(1, "2001:db8:1::", "2001:db8:f::2", far, opt(optRelayMsg, relayForw(0, "2001:db8:1::", "fe80::c", near)))
		s.ask(t, lqMsg(1, lq(qLink, "2001:db8:1::", opt(optORO, u16(optRelayData)))),
			answerOK(1, client("\x00\x01one", 100, leased("2001:db8:1::1"), opt(optRelayData, addr("2001:db8:f::1"), message))), done(1))
	})
}

// RFC 7653 10: DHCP's own authentication protects none of these messages: it is neither read nor sent.
func TestRFC7653AuthenticationOptionIsNotUsed(t *testing.T) {
	s := serve(t, house(t), Config{})
	auth := opt(optAuth, []byte{3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 7}, make([]byte, 17))
	for _, o := range [][]byte{auth, opt(optAuth, []byte{2}), opt(optAuth)} {
		s.ask(t, lqMsg(1, o, opt(optORO, u16(optAuth)), lq(qLink, "2001:db8:2::", o, opt(optORO, u16(optAuth)))), answerOK(1, clientAOn2), done(1))
	}
}

// RFC 8415 16, 21.1: the order of options means nothing, and unknown ones are skipped wherever they stand.
func TestRFC8415OptionsInAnyOrder(t *testing.T) {
	s := serve(t, house(t), Config{})
	inner := [][]byte{opt(optClientID, []byte("\x00\x01client-a")), opt(optORO, u16(optFQDN), u16(65003)), opt(65003), opt(17, u32(4711), []byte("vendor"))}
	outer := func(q []byte) [][]byte {
		return [][]byte{opt(optClientID, requestorID), opt(optServerID, clusterID), q, opt(65003, []byte("unknown"))}
	}
	for _, in := range orders(inner) {
		for _, out := range orders(outer(lq(qClientID, "2001:db8:2::", in...))) {
			w := dialWire(t, s.addr)
			w.send(msg(msgQuery, 1, out...))
			w.expect(answerOK(1, clientAOn2), done(1))
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// orders are all orders of the options.
func orders(options [][]byte) (all [][][]byte) {
	if len(options) == 0 {
		return [][][]byte{nil}
	}
	for i, first := range options {
		rest := append(append([][]byte{}, options[:i]...), options[i+1:]...)
		for _, o := range orders(rest) {
			all = append(all, append([][]byte{first}, o...))
		}
	}
	return all
}

// RFC 8415 21.18, and rule 7: what only relays send is not told as the client's, whatever a source says.
func TestRFC8415RelayOptionsOfASource(t *testing.T) {
	fqdn := opt(optFQDN, []byte{1, 3, 'f', 'o', 'o'})
	named := lease(binding.NA, "2001:db8:1::1", "\x00\x01one", nil)
	named.Binding.Options = cat(opt(optInterfaceID, []byte("ge-0")), opt(optRemoteID, u32(9), []byte("r")), opt(optSubscriberID, []byte("s")), fqdn,
		opt(optRelayID, []byte{0, 1}), opt(optLinkLayer, u16(1), []byte{2, 0, 0, 0, 0, 1}), opt(optVSS, []byte{0}, []byte("vpn")))
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}), named)
	s := serve(t, w, Config{})
	wanted := opt(optORO, u16(optInterfaceID), u16(optRemoteID), u16(optSubscriberID), u16(optFQDN), u16(optRelayID), u16(optLinkLayer), u16(optVSS))
	s.ask(t, lqMsg(1, lq(qLink, "2001:db8:1::", wanted)), answerOK(1, client("\x00\x01one", 100, leased("2001:db8:1::1"), fqdn)), done(1))
}

// Sensitive options win over the requestor's wish, and over the setting that always sends relay data, at every level.
func TestRule07SensitiveOptionsWin(t *testing.T) {
	one, two, three := opt(optInterfaceID, []byte("ge-0")), opt(optRemoteID, u32(9), []byte("line")), opt(65001, []byte("x"))
	level := func(hops int, options ...[]byte) binding.Level {
		return binding.Level{HopCount: uint8(hops), Link: netip.MustParseAddr("2001:db8:1::"), Peer: netip.MustParseAddr("fe80::c"), Options: cat(options...)}
	}
	chain := binding.AppendChain(nil, netip.MustParseAddr("2001:db8:f::1"), []binding.Level{level(2, two, one), level(1, two), level(0, three, two, two, one)})
	named := lease(binding.NA, "2001:db8:1::1", "\x00\x01one", chain)
	named.Binding.Options = cat(opt(optFQDN, []byte{1, 3, 'f', 'o', 'o'}), opt(65002, []byte("z")))
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}), named)
	message := func(o1, o2, o3 []byte) []byte {
		return opt(optRelayData, addr("2001:db8:f::1"), relayForw(2, "2001:db8:1::", "fe80::c", o1,
			opt(optRelayMsg, relayForw(1, "2001:db8:1::", "fe80::c", o2, opt(optRelayMsg, relayForw(0, "2001:db8:1::", "fe80::c", o3))))))
	}
	everything := opt(optORO, u16(optFQDN), u16(65002), u16(optRelayData), u16(optRemoteID))
	for name, tc := range map[string]struct {
		all, own []dhcpv6.OptionCode
		want     []byte
	}{
		"for all": {[]dhcpv6.OptionCode{optRemoteID, optFQDN}, nil, cat(opt(65002, []byte("z")), message(one, nil, cat(three, one)))},
		"for all and for this requestor": {[]dhcpv6.OptionCode{optFQDN}, []dhcpv6.OptionCode{optInterfaceID, 65002},
			message(two, two, cat(three, two, two))},
		"relay data as a whole": {nil, []dhcpv6.OptionCode{optRelayData, optFQDN}, opt(65002, []byte("z"))},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveEngine(t, w, Config{}, leasequery.Config{RelayData: leasequery.RelayDataAlways, Sensitive: tc.all},
				loopback(func(r *leasequery.Requestor) { r.Sensitive = tc.own }))
			s.ask(t, lqMsg(1, lq(qLink, "2001:db8:1::", everything)), answerOK(1, client("\x00\x01one", 100, leased("2001:db8:1::1"), tc.want)), done(1))
		})
	}
}
