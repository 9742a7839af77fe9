package leasequery_test

import (
	"net/netip"
	"slices"

	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/leasequery/leasequerytest"
)

// held is a binding as it was drawn: its chain is kept as levels, so that what is expected is worked out without reading chains.
type held struct {
	leasequerytest.Binding
	sender netip.Addr // invalid when unknown
	levels []binding.Level
	opts   map[int]string // client options, one of each
}

// scene is a state and one question after the other, drawn from pools so small that everything meets everything.
type scene struct {
	links      []leasequerytest.Link
	bindings   []held
	clock, now binding.Time

	over      leasequery.Transport
	requestor *leasequery.Requestor
	config    leasequery.Config

	kind    int
	link    netip.Addr
	address netip.Addr
	value   string
	oro     []int
	base    bool
}

var (
	poolDUIDs    = []string{"\x00\x09a", "\x00\x09ab", "\x00\x09b", "\x00\x09"}
	poolRelayIDs = []string{"\x00\x09r1", "\x00\x09r2"}
	poolRemotes  = []string{"\x00\x00\x00\x09x", "\x00\x00\x00\x08x", "\x00\x00\x00\x09xy"}
	poolRelays   = addrs("2001:db8:ffff::1", "2001:db8:ffff::2", "2001:db8:1::1", "fd00::1")
	poolLinks    = addrs("::", "2001:db8:1::", "2001:db8:1:8000::5", "2001:db8:2::1", "2001:db8:ffff::1", "2001:db8:ffff::2", "fd00::1", "3fff::1", "fe80::1")
	poolPrefixes = prefixes("2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::/64", "2001:db8:1:8000::/49", "2001:db8:2::/48", "2001:db8:2::/64", "fd00::/64")
	poolAddrs    = addrs("2001:db8:1::1", "2001:db8:1::2", "2001:db8:1:8000::1", "2001:db8:2::1", "2001:db8:2:0:1::", "2001:db8:3::1", "3fff:1::1", "fd00::1")
	poolPDs      = prefixes("2001:db8:1::/48", "2001:db8:1::/56", "2001:db8:2::/64", "2001:db8:8000::/36", "3fff:1::/48", "3fff:1::/126")
)

func addrs(list ...string) (out []netip.Addr) {
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func drawScene(t *rapid.T) *scene {
	s := &scene{clock: now, now: now + binding.Time(rapid.Int64Range(0, 5000).Draw(t, "since the clock"))}
	left := slices.Clone(poolPrefixes)
	for id := range rapid.IntRange(1, 4).Draw(t, "links") {
		l := leasequerytest.Link{ID: binding.LinkID(id + 1)}
		for range rapid.IntRange(1, 2).Draw(t, "prefixes") {
			if len(left) > 0 {
				i := rapid.IntRange(0, len(left)-1).Draw(t, "prefix")
				l.Prefixes = append(l.Prefixes, left[i])
				left = slices.Delete(left, i, i+1)
			}
		}
		l.Relays = rapid.SliceOfNDistinct(rapid.SampledFrom(poolRelays), 0, 2, rapid.ID[netip.Addr]).Draw(t, "relays")
		s.links = append(s.links, l)
	}
	for range rapid.IntRange(0, 12).Draw(t, "bindings") {
		s.drawBinding(t)
	}
	return s
}

// questions is how many questions each state that was drawn is asked.
const questions = 25

func (s *scene) drawBinding(t *rapid.T) {
	h := held{opts: map[int]string{}}
	h.Link = rapid.SampledFrom(s.links).Draw(t, "link").ID
	h.DUID = rapid.SampledFrom(poolDUIDs).Draw(t, "duid")
	h.Kind = rapid.SampledFrom([]binding.Kind{binding.NA, binding.TA, binding.PD}).Draw(t, "kind")
	if h.Kind == binding.PD {
		h.Prefix = rapid.SampledFrom(poolPDs).Draw(t, "delegated")
	} else {
		h.Prefix = netip.PrefixFrom(rapid.SampledFrom(poolAddrs).Draw(t, "address"), 128)
	}
	h.State = rapid.SampledFrom([]binding.State{0, 0, 0, 0, binding.Released, binding.Expired}).Draw(t, "state")
	lifetime := rapid.SampledFrom([]uint32{0, 1, 50, 100, 4000, binding.Infinity - 1, binding.Infinity})
	h.Preferred, h.Valid = lifetime.Draw(t, "preferred"), max(1, lifetime.Draw(t, "valid"))
	h.LastTransaction = now - binding.Time(rapid.Int64Range(-2000, 120_000).Draw(t, "ago"))
	for n := range rapid.IntRange(0, 3).Draw(t, "levels") {
		l := binding.Level{HopCount: uint8(n), Link: rapid.SampledFrom(poolLinks).Draw(t, "link-address"), Peer: rapid.SampledFrom(poolRelays).Draw(t, "peer")}
		for range rapid.IntRange(0, 3).Draw(t, "options") {
			switch rapid.IntRange(0, 2).Draw(t, "option") {
			case 0:
				l.Options = append(l.Options, opt(optRelayID, []byte(rapid.SampledFrom(poolRelayIDs).Draw(t, "relay-id")))...)
			case 1:
				l.Options = append(l.Options, opt(optRemoteID, []byte(rapid.SampledFrom(poolRemotes).Draw(t, "remote-id")))...)
			default:
				l.Options = append(l.Options, opt(65001, []byte{byte(n)})...)
			}
		}
		h.levels = append(h.levels, l)
	}
	if len(h.levels) > 0 && rapid.Bool().Draw(t, "sender known") {
		h.sender = rapid.SampledFrom(poolRelays).Draw(t, "sender")
	}
	h.Chain = binding.AppendChain(nil, h.sender, h.levels)
	for _, code := range []int{optFQDN, 65002} {
		if rapid.Bool().Draw(t, "has option") {
			h.opts[code] = rapid.SampledFrom([]string{"\x00\x01v\x00", "\x00\x01w\x00"}).Draw(t, "value")
			h.Options = append(h.Options, opt(code, []byte(h.opts[code]))...)
		}
	}
	for _, other := range s.bindings {
		if other.Prefix == h.Prefix && (other.Kind == binding.PD) == (h.Kind == binding.PD) {
			return // a key has one binding
		}
	}
	s.bindings = append(s.bindings, h)
}

func (s *scene) drawQuestion(t *rapid.T) {
	s.over = rapid.SampledFrom([]leasequery.Transport{leasequery.TCP, leasequery.TCP, leasequery.UDP}).Draw(t, "over")
	s.kind = rapid.IntRange(byAddress, byRemoteID).Draw(t, "query type")
	s.link = rapid.SampledFrom(append(slices.Repeat(addrs("::"), 10), poolLinks...)).Draw(t, "link asked")
	switch s.kind {
	case byAddress:
		s.address = rapid.SampledFrom(append(addrs("2001:db8:1::7", "2001:db8:1:1::7", "2001:db8:8fff::"), poolAddrs...)).Draw(t, "address asked")
	case byClientID:
		s.value = rapid.SampledFrom(poolDUIDs).Draw(t, "client-id asked")
	case byRelayID:
		s.value = rapid.SampledFrom(poolRelayIDs).Draw(t, "relay-id asked")
	case byRemoteID:
		s.value = rapid.SampledFrom(poolRemotes).Draw(t, "remote-id asked")
	}
	s.oro = rapid.SliceOfDistinct(rapid.SampledFrom([]int{optFQDN, 65002, optRelayData, 65001, optRemoteID}), rapid.ID[int]).Draw(t, "oro")
	s.base = rapid.Bool().Draw(t, "base time")
	s.requestor = nil
	modes := []leasequery.RelayDataMode{leasequery.RelayDataDefault, leasequery.RelayDataOnRequest, leasequery.RelayDataAlways}
	codes := rapid.SampledFrom([][]dhcpv6.OptionCode{nil, nil, {optFQDN}, {optRemoteID, 65001}, {optRelayID}})
	s.config = leasequery.Config{RelayData: rapid.SampledFrom(modes).Draw(t, "relay data"), Sensitive: codes.Draw(t, "sensitive")}
	if !rapid.Bool().Draw(t, "has a stanza") {
		return
	}
	s.requestor = &leasequery.Requestor{RelayData: rapid.SampledFrom(modes).Draw(t, "its relay data"), Sensitive: codes.Draw(t, "its sensitive")}
	if rapid.Bool().Draw(t, "restricted") {
		s.requestor.Restricted = drawRestriction(t)
	}
}

func drawRestriction(t *rapid.T) *leasequery.Restriction {
	x := &leasequery.Restriction{}
	switch rapid.IntRange(0, 3).Draw(t, "restricted by") {
	case 0:
		x.Links = rapid.SliceOfN(rapid.SampledFrom(poolPrefixes), 1, 2).Draw(t, "its links")
	case 1:
		x.RelayIDs = [][]byte{[]byte(rapid.SampledFrom(poolRelayIDs).Draw(t, "its relay-id"))}
	case 2:
		x.Addresses = rapid.SliceOfN(rapid.SampledFrom(poolRelays), 1, 2).Draw(t, "its addresses")
	}
	return x
}

// message is the question in octets.
func (s *scene) message() []byte {
	inner := s.oro
	if s.base {
		inner = append(slices.Clone(inner), optBaseTime)
	}
	options := oro(inner...)
	switch s.kind {
	case byAddress:
		return addressQuery(s.link.String(), s.address.String(), options)
	case byClientID:
		return clientQuery(s.link.String(), s.value, options)
	case byRelayID:
		return relayQuery(s.link.String(), s.value, options)
	case byRemoteID:
		return remoteQuery(s.link.String(), []byte(s.value), options)
	}
	return linkQuery(s.link.String(), options)
}

// world is the state in octets.
func (s *scene) world() *world {
	w := newWorld(s.links)
	list := make([]leasequerytest.Binding, 0, len(s.bindings))
	for _, h := range s.bindings {
		list = append(list, h.Binding)
	}
	w.SetBindings(list...)
	w.SetTime(s.clock, s.now)
	w.config = s.config
	return w
}
