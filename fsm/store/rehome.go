package store

import (
	"bytes"
	"net/netip"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/fsm/link"
)

// rehomed moves what a changed link definition moves, and tells whether it changed anything.
func (s *Store) rehomed(effect link.Effect) outcome {
	if effect.None() {
		return unchanged
	}
	s.rehome(effect)
	return changed
}

// rehome looks at the bindings on every link whose bindings may be touched by the effect, and moves those that belong
// elsewhere now.
func (s *Store) rehome(effect link.Effect) {
	if effect.None() {
		return
	}
	links := map[binding.LinkID]struct{}{}
	if src := s.byName[effect.Source]; src != nil {
		for _, name := range effect.Names {
			e := entry{source: src.number, name: []byte(name)}
			for _, use := range s.census.names[string(s.census.nameKey(&e))] {
				links[use.link] = struct{}{}
			}
		}
	}
	for _, p := range effect.Prefixes {
		linksIn(links, s.places.root, s.places.height, p)
	}
	for _, a := range effect.Relays {
		linksIn(links, s.places.root, s.places.height, netip.PrefixFrom(a, a.BitLen()))
	}
	ids := make([]binding.LinkID, 0, len(links))
	for id := range links {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, anchored := range []bool{false, true} { // addresses first: delegated prefixes follow them in one step
		for _, id := range ids {
			s.rehomeLink(id, anchored)
		}
	}
}

// maxMoves bounds the moves that are gathered before they are made.
const maxMoves = 1024

// rehomeLink moves those bindings on a link that belong elsewhere which are on the link of their client's address, or those
// which are not.
func (s *Store) rehomeLink(id binding.LinkID, anchored bool) {
	at := position{place: place(id, 0)}
	for more := true; more; {
		var moves []move
		more = s.walk(&at, func(lh uint64, r record, e packed) bool {
			if placeLink(lh) != id {
				return false
			}
			if e.state() == binding.Active && (e.kind() == binding.PD && e[2] == 0) == anchored && s.misplaced(lh, r, e) {
				moves = append(moves, move{lh, bytes.Clone(r.duid()), e.order()})
			}
			return len(moves) < maxMoves
		}) && placeLink(at.place) == id
		for _, m := range moves {
			s.move(m)
		}
	}
}

// misplaced tells whether a binding belongs on another link than the one where it is.
func (s *Store) misplaced(lh uint64, r record, p packed) bool {
	e := r.unpack(p)
	home := s.home(&e, r.duid(), uint32(lh))
	if home == placeLink(lh) {
		return false
	}
	s.links.Acquire(home)
	s.links.Release(home) // made up again when the binding moves
	return true
}

// walk calls f with every entry behind at, in order, until f returns false; at is then the entry that f was called with last.
// It tells whether there may be more.
func (s *Store) walk(at *position, f func(lh uint64, r record, e packed) bool) bool {
	var p path
	if !s.clients.seek(&p, &key{place: at.place, duid: at.duid, order: &at.order}) {
		return false
	}
	if p.isAt(p.i-1, at.place, at.duid) {
		p.i--
	}
	for ok := p.settle(); ok; ok = p.next() {
		r, lh := p.record(), p.place()
		begun := lh == at.place && r.isOf(at.duid)
		for e := range r.all {
			o := e.order()
			if begun && o.compare(&at.order) <= 0 {
				continue
			}
			if !f(lh, r, e) {
				at.place, at.duid, at.order = lh, append(at.duid[:0], r.duid()...), o
				return true
			}
		}
	}
	return false
}
