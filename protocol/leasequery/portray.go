package leasequery

import (
	"cmp"
	"net/netip"

	"github.com/leasehold/leasehold/fsm/binding"
)

// keepPermitted leaves of the client what the requestor may see. The rest of it is as if it did not exist.
func (a *Answer) keepPermitted() {
	a.restrictor.forget()
	c := &a.portrait.client
	kept := c.Entries[:0]
	for i := range c.Entries {
		if a.restrictor.permits(a.view, c.Link, &c.Entries[i]) {
			kept = append(kept, c.Entries[i])
		}
	}
	c.Entries = kept
}

// portray finds out what to show of p.client, whose entries are all permitted, when ends are told as well (RFC 7653 7 leaves open
// how): it is false when there is nothing to tell.
//
// A client with a binding in force that matches is told whole: what is in force and was changed at or before the number live, and
// at 0/0 the ends that ends holds up to the number upTo, save those whose address or prefix the client has in force. Of a client that
// matches no more, but has an end in ends that does, all is at 0/0: the ends, and what is in force on that link, which the requestor may
// have been shown while another binding matched. Of that it learns nothing else, and the relay chain is that of the end. Behind the last
// end that matches nothing tells of the client any more: there all of ends is told, for what ended later was still shown.
func (a *Answer) portray(live uint64, ends changes, upTo uint64) bool {
	p := &a.portrait
	p.shown, p.next, p.newest, p.exit = p.shown[:0], 0, 0, false
	var ended, later, lapsed *binding.Entry // what matches of the ends that are told, of those behind, of what has run out
	inForce := false
	p.temporary = false
	for i := range p.client.Entries {
		e := &p.client.Entries[i]
		p.temporary = p.temporary || e.Kind == binding.TA
		switch {
		case e.State == binding.Active && (a.leaving || !a.matches(e)):
		case e.State == binding.Active && a.inForce(e):
			inForce = true
		case e.State == binding.Active:
			lapsed = e
		case !ends.has(e.Change) || !a.matches(e) || !a.wasSelected(e):
		case e.Change <= upTo:
			ended = tells(ended, e)
		default:
			later = tells(later, e)
		}
	}
	switch {
	case inForce || lapsed != nil && a.span == nil: // to a subscriber what has run out is there until its end is told
		return a.portrayWhole(live, changes{ends.from, upTo}, cmp.Or(ended, later, lapsed))
	case later != nil: // it goes on matching for a while
		return a.portrayExit(changes{ends.from, upTo}, cmp.Or(ended, later))
	case ended != nil: // nothing else will tell of what it still had
		return a.portrayExit(ends, ended)
	}
	return false
}

// wasSelected tells whether an end on a link that the query's link-address does not select is of a binding for whose sake it did.
func (a *Answer) wasSelected(e *binding.Entry) bool {
	if !a.formerly.IsValid() {
		return true
	}
	at, ok := e.Chain.LinkAddress()
	return ok && at == a.formerly
}

// tells is which of two matching entries the relay chain is told of: the one of the newest transaction, and between those of the
// very same one that has a chain.
func tells(old, e *binding.Entry) *binding.Entry {
	if old == nil || e.LastTransaction > old.LastTransaction || e.LastTransaction == old.LastTransaction && len(old.Chain) == 0 {
		return e
	}
	return old
}

// portrayWhole shows a client that matches. other is what its chain comes from when nothing in force that is shown matches.
func (a *Answer) portrayWhole(live uint64, ends changes, other *binding.Entry) bool {
	p := &a.portrait
	var match, described, before *binding.Entry // before is the entry in force that was met last
	for i := range p.client.Entries {
		e := &p.client.Entries[i]
		if e.State == binding.Active {
			if !a.inForce(e) {
				continue
			}
			before = e
			if e.Change > live {
				continue
			}
			if a.matches(e) {
				match = tells(match, e)
			}
			if len(e.Options) > 0 && (described == nil || e.LastTransaction > described.LastTransaction) {
				described = e
			}
		} else if !ends.has(e.Change) || sameKey(before, e) || p.temporary && a.hasInForce(e) {
			continue
		}
		p.show(i)
	}
	if match == nil {
		match = other
	}
	a.appendTrailer(match, described)
	return len(p.shown) > 0
}

// hasInForce tells whether the client has the address of an end in force, under another kind: addresses of both kinds are one key.
func (a *Answer) hasInForce(end *binding.Entry) bool {
	for i := range a.portrait.client.Entries {
		if e := &a.portrait.client.Entries[i]; e.State == binding.Active && sameKey(e, end) && a.inForce(e) {
			return true
		}
	}
	return false
}

// portrayExit shows a client that matches no more, by its matching end.
func (a *Answer) portrayExit(ends changes, ended *binding.Entry) bool {
	p := &a.portrait
	p.exit = true
	for i := range p.client.Entries {
		if e := &p.client.Entries[i]; e.State == binding.Active || ends.has(e.Change) {
			p.show(i)
		}
	}
	p.newest = ended.LastTransaction
	a.appendTrailer(ended, ended)
	return len(p.shown) > 0
}

// show has the entry shown, unless its key is already: several ends may be kept of one, each with another chain.
func (p *portrait) show(i int) {
	e := &p.client.Entries[i]
	if len(p.shown) == 0 || e.LastTransaction > p.newest {
		p.newest = e.LastTransaction
	}
	before := p.shown // entries of one key are neighbours, but for addresses that were temporary once
	if n := len(before); n > 0 && !p.temporary {
		before = before[n-1:]
	}
	for _, b := range before {
		if sameKey(&p.client.Entries[b], e) {
			return
		}
	}
	p.shown = append(p.shown, i)
}

// sameKey tells whether two entries are of one address or delegated prefix.
func sameKey(a, b *binding.Entry) bool {
	return a != nil && a.Prefix == b.Prefix && (a.Kind == binding.PD) == (b.Kind == binding.PD)
}

// keyed is the place of an entry in the order that a client's entries are shown in.
type keyed struct {
	kind   binding.Kind
	prefix netip.Prefix
}

func (k *keyed) of(e *binding.Entry) { k.kind, k.prefix = e.Kind, e.Prefix }

// before tells whether the entry comes behind k.
func (k *keyed) before(e *binding.Entry) bool {
	return cmp.Or(cmp.Compare(k.kind, e.Kind), k.prefix.Addr().Compare(e.Prefix.Addr()), cmp.Compare(k.prefix.Bits(), e.Prefix.Bits())) < 0
}
