package leasequery_test

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// outcome is an answer in words, so that what is expected and what was read can be compared.
type outcome struct {
	Status  int
	Clients []client
	Links   []netip.Addr
}

type client struct {
	DUID     string
	Bindings []string // "2001:db8::1 preferred/valid", "2001:db8::/56 preferred/valid"
	CLT      uint32
	Options  []string // "code value"
	Relay    []string // peer-address, then each level; nil for none
}

// expected works the answer out by looking at every binding: the rules in words, with nothing of the engine's or the view's.
func (s *scene) expected() outcome {
	if s.over == leasequery.UDP && s.kind > byClientID {
		return outcome{Status: notAllowed}
	}
	if s.kind == byLink && s.link.IsUnspecified() {
		return outcome{Status: malformed}
	}
	if !s.link.IsUnspecified() && !slices.ContainsFunc(s.links, func(l linkOf) bool { return s.selects(l.ID) }) {
		return outcome{Status: notConfigured}
	}
	var target *held
	if s.kind == byAddress {
		if target = s.bound(); target != nil && !s.visible(target) {
			target = nil
		}
		if target == nil && s.link.IsUnspecified() && s.holder(s.address) == 0 {
			return outcome{Status: notConfigured}
		}
	}
	var out outcome
	var on []binding.LinkID
	for _, group := range s.groups() {
		matched := slices.DeleteFunc(slices.Clone(group), func(h *held) bool { return !s.matches(h, target) })
		if len(matched) > 0 {
			out.Clients = append(out.Clients, s.tell(group, matched))
			on = append(on, group[0].Link)
		}
	}
	if s.over == leasequery.UDP && len(on) > 1 {
		s.settle(&out, on)
	}
	return out
}

// settle is what UDP makes of a client on several links.
func (s *scene) settle(out *outcome, on []binding.LinkID) {
	if s.link.IsUnspecified() {
		out.Clients = nil
		for _, id := range on {
			if a, ok := s.representative(id); ok {
				out.Links = append(out.Links, a)
			}
		}
		return
	}
	best, newest := slices.Index(on, s.holder(s.link)), binding.Time(math.MinInt64)
	if best < 0 {
		for i, id := range on {
			for _, h := range s.bindings {
				if h.Link == id && h.DUID == s.value && s.visible(&h) && h.LastTransaction > newest {
					best, newest = i, h.LastTransaction
				}
			}
		}
	}
	out.Clients = out.Clients[best : best+1]
}

// groups is what the requestor may see, by link and client, each group in order.
func (s *scene) groups() (out [][]*held) {
	var all []*held
	for i := range s.bindings {
		if s.visible(&s.bindings[i]) {
			all = append(all, &s.bindings[i])
		}
	}
	slices.SortFunc(all, func(a, b *held) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), strings.Compare(a.DUID, b.DUID), cmp.Compare(a.Kind, b.Kind),
			a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
	})
	for i, h := range all {
		if i == 0 || all[i-1].Link != h.Link || all[i-1].DUID != h.DUID {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], h)
	}
	return out
}

// time is what lifetimes count from.
func (s *scene) time() binding.Time {
	if s.base && s.over == leasequery.TCP {
		return s.clock
	}
	return s.now
}

func (s *scene) remains(lifetime uint32, lt binding.Time) uint32 {
	if lifetime == math.MaxUint32 {
		return lifetime
	}
	return uint32(min(max(float64(lifetime)-max(math.Floor(float64(s.time()-lt)/1000), 0), 0), float64(lifetime)))
}

func (s *scene) inForce(h *held) bool {
	return h.State == binding.Active && s.remains(h.Valid, h.LastTransaction) > 0
}

// visible tells whether a binding is in force and, to a restricted requestor, its own.
func (s *scene) visible(h *held) bool {
	if !s.inForce(h) {
		return false
	}
	if s.requestor == nil || s.requestor.Restricted == nil {
		return true
	}
	return s.relays(s.requestor.Restricted, h)
}

// relays tells whether a binding is one that a restricted requestor relays.
func (s *scene) relays(x *leasequery.Restriction, h *held) bool {
	addresses := x.Addresses
	if len(x.Links)+len(x.RelayIDs)+len(x.Addresses) == 0 {
		addresses = []netip.Addr{relayAddr.Addr()}
	}
	for _, l := range s.links {
		for _, p := range l.Prefixes {
			if l.ID == h.Link && slices.ContainsFunc(x.Links, func(q netip.Prefix) bool { return q.Overlaps(p) && q.Bits() <= p.Bits() }) {
				return true
			}
		}
	}
	for n, l := range h.levels {
		above := h.sender
		if n > 0 {
			above = h.levels[n-1].Peer
		}
		if slices.Contains(addresses, above) || slices.Contains(addresses, l.Link) {
			return true
		}
		for _, id := range x.RelayIDs {
			if strings.Contains(string(l.Options), string(opt(optRelayID, id))) {
				return true
			}
		}
	}
	return false
}

// bound is who has the address asked for.
func (s *scene) bound() *held {
	var best *held
	for i := range s.bindings {
		h := &s.bindings[i]
		if h.Kind != binding.PD && h.Prefix.Addr() == s.address && s.inForce(h) {
			return h
		}
		if h.Kind == binding.PD && h.State == binding.Active && h.Prefix.Contains(s.address) && (best == nil || h.Prefix.Bits() > best.Prefix.Bits()) {
			best = h
		}
	}
	return best
}

// matches tells whether a binding is itself what is looked for.
func (s *scene) matches(h, target *held) bool {
	if !s.link.IsUnspecified() && !s.selects(h.Link) {
		return false
	}
	code := optRelayID
	switch s.kind {
	case byAddress:
		return h == target
	case byClientID:
		return h.DUID == s.value
	case byLink:
		return true
	case byRemoteID:
		code = optRemoteID
	}
	return slices.ContainsFunc(h.levels, func(l binding.Level) bool {
		return strings.Contains(string(l.Options), string(opt(code, []byte(s.value))))
	})
}

// selects tells whether the link-address asked for selects a link.
func (s *scene) selects(id binding.LinkID) bool {
	if s.holder(s.link) == id {
		return true
	}
	for _, l := range s.links {
		if l.ID == id && slices.Contains(l.Relays, s.link) {
			return true
		}
	}
	return slices.ContainsFunc(s.bindings, func(h held) bool {
		if h.Link != id || h.State != binding.Active {
			return false
		}
		for _, l := range slices.Backward(h.levels) {
			if !l.Link.IsUnspecified() && !l.Link.IsLinkLocalUnicast() {
				return l.Link == s.link
			}
		}
		return false
	})
}

// holder is the link with the longest prefix that holds an address; 0 for none.
func (s *scene) holder(a netip.Addr) (id binding.LinkID) {
	for bits := range 129 {
		for _, l := range s.links {
			if p, err := a.Prefix(bits); err == nil && slices.Contains(l.Prefixes, p) {
				id = l.ID
			}
		}
	}
	return id
}

// representative is the lowest address that only this link holds: the first of a prefix or the first behind one.
func (s *scene) representative(id binding.LinkID) (best netip.Addr, ok bool) {
	for _, l := range s.links {
		for _, p := range l.Prefixes {
			behind := p.Masked().Addr().As16()
			for bit := p.Bits(); bit < 128; bit++ {
				behind[bit/8] |= 0x80 >> (bit % 8)
			}
			for _, a := range []netip.Addr{p.Addr(), netip.AddrFrom16(behind).Next()} {
				if s.holder(a) == id && (!ok || a.Less(best)) {
					best, ok = a, true
				}
			}
		}
	}
	return best, ok
}

func (s *scene) hides(code int) bool {
	return slices.Contains(s.config.Sensitive, dhcpv6.OptionCode(code)) ||
		s.requestor != nil && slices.Contains(s.requestor.Sensitive, dhcpv6.OptionCode(code))
}

func newest(list []*held) *held {
	return slices.MaxFunc(list, func(a, b *held) int { return cmp.Compare(a.LastTransaction, b.LastTransaction) })
}

// tell is what is said of a client.
func (s *scene) tell(group, matched []*held) client {
	c := client{DUID: group[0].DUID}
	for _, h := range group {
		name := h.Prefix.String()
		if h.Kind != binding.PD {
			name = h.Prefix.Addr().String()
		}
		valid := s.remains(h.Valid, h.LastTransaction)
		c.Bindings = append(c.Bindings, fmt.Sprintf("%s %d/%d", name, min(valid, s.remains(h.Preferred, h.LastTransaction)), valid))
	}
	c.CLT = uint32(max(0, (s.time()-newest(group).LastTransaction)/1000))
	if described := slices.DeleteFunc(slices.Clone(group), func(h *held) bool { return len(h.opts) == 0 }); len(described) > 0 {
		for _, code := range []int{optFQDN, 65002} {
			if v, has := newest(described).opts[code]; has && slices.Contains(s.oro, code) && !s.hides(code) {
				c.Options = append(c.Options, fmt.Sprintf("%d %x", code, v))
			}
		}
	}
	mode := s.config.RelayData
	if s.requestor != nil && s.requestor.RelayData != leasequery.RelayDataDefault {
		mode = s.requestor.RelayData
	}
	if mode == leasequery.RelayDataAlways || slices.Contains(s.oro, optRelayData) {
		at := newest(matched).LastTransaction
		for _, h := range matched {
			if h.LastTransaction == at && len(h.levels) > 0 {
				c.Relay = s.relayWords(h)
				break
			}
		}
	}
	return c
}

// relayWords is a chain without what is hidden.
func (s *scene) relayWords(h *held) []string {
	peer := h.sender
	for _, l := range h.levels {
		if !peer.IsValid() && !l.Link.IsUnspecified() && !l.Link.IsLinkLocalUnicast() {
			peer = l.Link
		}
	}
	if !peer.IsValid() {
		peer = netip.IPv6Unspecified()
	}
	words := []string{peer.String()}
	for _, l := range h.levels {
		var shown []byte
		for b := l.Options; len(b) > 0; {
			n := 4 + int(b[2])<<8 + int(b[3])
			if !s.hides(int(b[0])<<8 + int(b[1])) {
				shown = append(shown, b[:n]...)
			}
			b = b[n:]
		}
		words = append(words, fmt.Sprintf("%d %v %v %x", l.HopCount, l.Link, l.Peer, shown))
	}
	return words
}
