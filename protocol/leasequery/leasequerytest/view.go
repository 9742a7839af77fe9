package leasequerytest

import (
	"net/netip"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
)

// View is the state at one moment.
type View struct {
	state    *State
	links    []Link
	bindings []Binding
	clock    binding.Time
	released bool
}

var _ binding.View = (*View)(nil)

// Index is always 1.
func (v *View) Index() uint64 { return 1 }

// Clock is the closed time.
func (v *View) Clock() binding.Time { return v.clock }

// SelectLinks appends the links that a link-address selects.
func (v *View) SelectLinks(dst []binding.LinkID, a netip.Addr) []binding.LinkID {
	var out []binding.LinkID
	for _, l := range v.links {
		if slices.Contains(l.Relays, a) {
			out = append(out, l.ID)
		}
	}
	if id, ok := v.LinkHolding(a); ok {
		out = append(out, id)
	}
	for _, b := range v.bindings {
		if la, ok := b.Chain.LinkAddress(); ok && la == a && b.State == binding.Active {
			out = append(out, b.Link)
		}
	}
	slices.Sort(out)
	return append(dst, slices.Compact(out)...)
}

// LinkHolding is the link whose prefix holds the address by longest match.
func (v *View) LinkHolding(a netip.Addr) (id binding.LinkID, ok bool) {
	best := -1
	for _, l := range v.links {
		for _, p := range l.Prefixes {
			if p.Contains(a) && p.Bits() > best {
				id, ok, best = l.ID, true, p.Bits()
			}
		}
	}
	return id, ok
}

// Representative is the lowest address of the link's first prefix.
func (v *View) Representative(id binding.LinkID) netip.Addr {
	for _, l := range v.links {
		if l.ID == id && len(l.Prefixes) > 0 {
			return l.Prefixes[0].Addr()
		}
	}
	return netip.Addr{}
}

// LinkPrefixes is the link's prefixes.
func (v *View) LinkPrefixes(id binding.LinkID) []netip.Prefix {
	for _, l := range v.links {
		if l.ID == id {
			return l.Prefixes
		}
	}
	return nil
}

// FindAddress is the live binding of exactly this address.
func (v *View) FindAddress(a netip.Addr) (binding.Key, binding.LinkID, bool) {
	for _, b := range v.bindings {
		if b.State == binding.Active && b.Kind != binding.PD && b.Prefix.Addr() == a {
			return binding.Key{Prefix: b.Prefix}, b.Link, true
		}
	}
	return binding.Key{}, 0, false
}

// FindDelegated is the longest live delegated prefix that contains the address.
func (v *View) FindDelegated(a netip.Addr) (key binding.Key, link binding.LinkID, ok bool) {
	for _, b := range v.bindings {
		if b.State == binding.Active && b.Kind == binding.PD && b.Prefix.Contains(a) && (!ok || b.Prefix.Bits() > key.Prefix.Bits()) {
			key, link, ok = binding.Key{Prefix: b.Prefix, Delegated: true}, b.Link, true
		}
	}
	return key, link, ok
}

// Select begins a walk over the clients that the query selects.
func (v *View) Select(q binding.Query) binding.Cursor { return &cursor{view: v, query: q} }

// Release gives the view back; a second time panics.
func (v *View) Release() {
	if v.released {
		panic("view released twice")
	}
	v.released = true
	v.state.mu.Lock()
	defer v.state.mu.Unlock()
	v.state.open--
}

type cursor struct {
	view  *View
	query binding.Query
	at    int
}

// Next fills c with the next client.
func (c *cursor) Next(out *binding.Client) bool {
	all := c.view.bindings
	for c.at < len(all) {
		first := all[c.at]
		end := c.at
		for end < len(all) && all[end].Link == first.Link && all[end].DUID == first.DUID {
			end++
		}
		group := all[c.at:end]
		c.at = end
		if !slices.ContainsFunc(group, c.matches) {
			continue
		}
		out.Link, out.DUID, out.Entries = first.Link, []byte(first.DUID), out.Entries[:0]
		for _, b := range group {
			out.Entries = append(out.Entries, b.Entry)
		}
		return true
	}
	return false
}

func (c *cursor) matches(b Binding) bool {
	q := c.query
	if b.State != binding.Active || ((q.Links != nil || q.By == binding.ByLinkAddress) && !slices.Contains(q.Links, b.Link)) {
		return false
	}
	switch q.By {
	case binding.ByAddress:
		return b.Prefix == q.Key.Prefix && (b.Kind == binding.PD) == q.Key.Delegated
	case binding.ByClientID:
		return b.DUID == string(q.Value)
	case binding.ByRelayID:
		return b.Chain.HasRelayID(q.Value)
	case binding.ByRemoteID:
		return b.Chain.HasRemoteID(q.Value)
	}
	return true
}
