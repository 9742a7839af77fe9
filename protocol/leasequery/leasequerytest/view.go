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

// Representative is the lowest address in the link's prefixes that no other link's longer prefix holds: the first of a prefix, or
// the first behind a prefix that another link has within it.
func (v *View) Representative(id binding.LinkID) netip.Addr {
	best := netip.Addr{}
	for _, p := range v.LinkPrefixes(id) {
		for a := p.Addr(); a.IsValid() && p.Contains(a); a = v.behind(a, p) {
			if holder, _ := v.LinkHolding(a); holder == id && (!best.IsValid() || a.Less(best)) {
				best = a
				break
			}
		}
	}
	return best
}

// behind is the address behind the longest prefix within p that holds a; the zero Addr when there is none.
func (v *View) behind(a netip.Addr, p netip.Prefix) netip.Addr {
	longest := p
	for _, l := range v.links {
		for _, q := range l.Prefixes {
			if q.Bits() > longest.Bits() && q.Contains(a) {
				longest = q
			}
		}
	}
	if longest == p {
		return netip.Addr{}
	}
	last := longest.Addr().As16()
	for bit := longest.Bits(); bit < 128; bit++ {
		last[bit/8] |= 1 << (7 - bit%8)
	}
	return netip.AddrFrom16(last).Next()
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

// cursor walks over the bindings. What it hands out lies in buffers of its own that the next call overwrites, as the contract of
// binding.Cursor allows: whoever keeps a slice for longer is found out.
type cursor struct {
	view  *View
	query binding.Query
	at    int
	duid  []byte
	text  []byte // chains and options
}

// Next fills out with the next client.
func (c *cursor) Next(out *binding.Client) bool {
	if c.view.released {
		panic("cursor used after its view was released")
	}
	all := c.view.bindings
	for c.at < len(all) {
		first, matched := c.at, false
		for ; c.at < len(all) && all[c.at].Link == all[first].Link && all[c.at].DUID == all[first].DUID; c.at++ {
			matched = matched || c.matches(&all[c.at])
		}
		if matched {
			c.fill(out, all[first:c.at])
			return true
		}
	}
	return false
}

// fill overwrites out with a client.
func (c *cursor) fill(out *binding.Client, group []Binding) {
	c.duid = append(c.duid[:0], group[0].DUID...)
	out.Link, out.DUID, out.Entries = group[0].Link, c.duid, out.Entries[:0]
	octets := 0
	for i := range group {
		octets += len(group[i].Chain) + len(group[i].Options)
	}
	c.text = slices.Grow(c.text[:0], octets)
	for i := range group {
		e := group[i].Entry
		e.Chain, e.Options = c.copy(e.Chain), c.copy(e.Options)
		out.Entries = append(out.Entries, e)
	}
}

// copy appends b to the cursor's text, which has room for it, and returns the copy.
func (c *cursor) copy(b []byte) []byte {
	c.text = append(c.text, b...)
	return c.text[len(c.text)-len(b) : len(c.text) : len(c.text)]
}

func (c *cursor) matches(b *Binding) bool {
	q := &c.query
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
