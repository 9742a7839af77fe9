package link

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/leasehold/leasehold/fsm/binding"
)

// Facts is what decides on which link a binding belongs.
type Facts struct {
	Source      string         // who says so
	Name        []byte         // what the source calls the link; empty when it has no name
	LinkAddress netip.Addr     // the relay chain's global link-address closest to the client; the zero Addr when there is none
	Prefix      netip.Prefix   // the address, as /128, or the delegated prefix
	Delegated   bool           // whether it is a delegated prefix
	Anchor      binding.LinkID // of a delegated prefix: the link of its client's address lease that came unrelayed; 0 for none
}

// Home is the link that a binding belongs on: the one that its source names; else the one that has the chain's link-address as
// relay address or in a prefix; else one made of that address's /64. Without link-address: an address on the link that holds
// it, else its own /64; a delegated prefix on its client's link, else on a link made of itself.
//
// Only defined links are looked at for what they hold, so that the order in which links were made up does not matter. A link
// that is made goes away with the next Release of it, so the caller acquires it.
func (t *Table) Home(f Facts) binding.LinkID {
	if id, ok := t.named(f.Source, f.Name); ok {
		return id
	}
	switch {
	case f.LinkAddress.IsValid():
		if ids := t.relays[f.LinkAddress]; len(ids) > 0 {
			return t.lowest(ids)
		}
		return t.holdingOrMade(f.LinkAddress)
	case !f.Delegated:
		return t.holdingOrMade(f.Prefix.Addr())
	case f.Anchor != 0:
		return f.Anchor
	}
	return t.number([]netip.Prefix{f.Prefix})
}

// holdingOrMade is the defined link that holds the address, else a link of its /64.
func (t *Table) holdingOrMade(a netip.Addr) binding.LinkID {
	if h, ok := t.defined.table.Lookup(a); ok {
		return h.id
	}
	p, err := a.Prefix(64)
	if err != nil {
		p = netip.PrefixFrom(netip.IPv6Unspecified(), 64) // an address that is not IPv6: validated away long before
	}
	return t.number([]netip.Prefix{p})
}

// named is the link that a source means by a name.
func (t *Table) named(src string, name []byte) (binding.LinkID, bool) {
	if len(name) == 0 {
		return 0, false
	}
	s := t.sources[src]
	if s == nil {
		return 0, false
	}
	claims := s.names[string(name)]
	if len(claims) == 0 {
		return 0, false
	}
	return s.definitions[claims[0]].id, true
}

// lowest is the link with the lowest canonical set of prefixes.
func (t *Table) lowest(ids []binding.LinkID) binding.LinkID {
	return slices.MinFunc(ids, func(a, b binding.LinkID) int {
		return strings.Compare(t.infos.get(int(a)).identity, t.infos.get(int(b)).identity)
	})
}
