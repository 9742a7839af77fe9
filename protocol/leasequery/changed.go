package leasequery

import (
	"net/netip"

	"github.com/leasehold/leasehold/fsm/binding"
)

// look finds out what to show of the client that the walk came to.
func (a *Answer) look() bool {
	if a.span == nil {
		return a.examine()
	}
	a.keepPermitted()
	return a.touched() && a.portray(allChanges.to, *a.span, a.span.to) && a.divide()
}

// touched tells whether the client's newest change, or an end, lies in the span of time that the query is about.
func (a *Answer) touched() bool {
	newest := uint64(0)
	for i := range a.portrait.client.Entries {
		e := &a.portrait.client.Entries[i]
		if e.State != binding.Active && a.span.has(e.Change) {
			return true
		}
		newest = max(newest, e.Change)
	}
	return a.span.has(newest)
}

// A reassigned address is told of by its old owner's end before its new owner's lease, whatever the order of clients. So an answer
// that is about a span of time is two walks: the first tells of the clients whose ends are of what somebody else has now, the second
// of the rest. Where a client of the first has itself what another's end is about, as when two have changed places, only its ends are
// told in the first.

// divide leaves of the portrait what belongs to this walk, and tells whether that is anything.
func (a *Answer) divide() bool {
	p := &a.portrait
	given, contested := false, false
	for _, i := range p.shown {
		e := &p.client.Entries[i]
		if e.State != binding.Active {
			given = given || a.heldElsewhere(e, binding.Query{})
		} else if !p.exit {
			contested = contested || a.heldElsewhere(e, binding.Query{Ended: true})
		}
	}
	switch {
	case !given:
		return a.walks == 1
	case !contested:
		return a.walks == 0
	}
	kept := p.shown[:0]
	for _, i := range p.shown {
		e := &p.client.Entries[i]
		if (e.State != binding.Active && a.heldElsewhere(e, binding.Query{})) == (a.walks == 0) {
			kept = append(kept, i)
		}
	}
	p.shown = kept
	return len(kept) > 0
}

// heldElsewhere tells whether another client has what the entry is about: in force, or also its end.
func (a *Answer) heldElsewhere(e *binding.Entry, q binding.Query) bool {
	q.By, q.Key = binding.ByAddress, binding.Key{Prefix: e.Prefix, Delegated: e.Kind == binding.PD}
	for cursor := a.view.Select(q); cursor.Next(&a.other); {
		if a.other.Link != a.portrait.client.Link || string(a.other.DUID) != string(a.portrait.client.DUID) {
			return true
		}
	}
	return false
}

// walkAgain begins the second walk and tells whether it has a client.
func (a *Answer) walkAgain() bool {
	if a.span == nil || a.walks > 0 {
		return false
	}
	a.walks++
	a.cursor = a.walk()
	return a.cursor.Next(&a.portrait.client)
}

// resolveChanged is resolveAddress for a span of time: the clients that have, or in that time had, exactly that address, else those
// of the longest delegated prefix around it that anybody has or had. That nobody had any is told as in resolveAddress.
func (a *Answer) resolveChanged(address netip.Addr, links []binding.LinkID) *refusal {
	r := a.resolveAddress(address, links)
	a.cursor = nil
	if r != nil && !isUnicast(address) {
		return r
	}
	a.selection = binding.Query{By: binding.ByAddress, Links: links, Ended: true}
	a.selection.Key = binding.Key{Prefix: netip.PrefixFrom(address, address.BitLen())}
	if a.findsChanged() {
		return nil
	}
	if _, _, inForce := a.view.FindAddress(address); inForce {
		return r
	}
	for bits := address.BitLen(); bits >= 0; bits-- {
		a.selection.Key = binding.Key{Prefix: netip.PrefixFrom(address, bits).Masked(), Delegated: true}
		if a.findsChanged() {
			return nil
		}
	}
	return r
}

// findsChanged begins the walk over the selection if that holds a client to tell of.
func (a *Answer) findsChanged() bool {
	for c := a.walk(); c.Next(&a.portrait.client); {
		a.keepPermitted()
		if a.touched() && a.portray(allChanges.to, *a.span, a.span.to) {
			a.cursor = a.walk()
			return true
		}
	}
	return false
}
