package store

import (
	"bytes"

	"github.com/leasehold/leasehold/fsm/binding"
)

// known is what the store knows of an address: the binding in force, or else its newest end.
type known struct {
	place uint64
	duid  []byte // a copy
	entry entry  // a copy, its octet strings included
}

// findLive leads p to the record of the client that holds the address in force, and returns the offset of the entry in it;
// -1 if the client does not hold it there.
func (s *Store) findLive(p *path, lh uint64, duid []byte, a *address) int {
	o := order{kind: binding.NA, octets: a.octets, bits: a.bits}
	if a.delegated {
		o.kind = binding.PD
	}
	if s.locate(p, lh, duid, &o) {
		if off := p.record().liveAt(a); off >= 0 {
			return off
		}
	}
	if a.delegated || s.sums.temporary == 0 {
		return -1
	}
	o.kind = binding.TA
	if s.locate(p, lh, duid, &o) {
		return p.record().liveAt(a)
	}
	return -1
}

// liveAt is the offset of the entry in force for the address, -1 if there is none.
func (r record) liveAt(a *address) int {
	b := r.first()
	off := len(r) - len(b)
	for range r.entries() {
		p := packed(r[off:])
		if p.state() == binding.Active && p.holds(a) {
			return off
		}
		off += p.size()
	}
	return -1
}

// eachEntry calls f with every entry of the client for the address of the given kind, in force and ended, until it returns
// false.
func (s *Store) eachEntry(lh uint64, duid []byte, kind binding.Kind, a *address, f func(r record, e packed) bool) {
	var p path
	o := order{kind: kind, octets: a.octets, bits: a.bits}
	if !s.locate(&p, lh, duid, &o) {
		if !p.settle() {
			return
		}
	}
	for ok := true; ok && p.isAt(p.i, lh, duid); ok = p.next() {
		r := p.record()
		for e := range r.all {
			if e.holds(a) && e.kind() == kind {
				if !f(r, e) {
					return
				}
				continue
			}
			if q := e.order(); q.compare(&o) > 0 {
				return
			}
		}
	}
}

// kinds is the first and the last kind that the binding of an address may have.
func (a *address) kinds() (first, last binding.Kind) {
	if a.delegated {
		return binding.PD, binding.PD
	}
	return binding.NA, binding.TA
}

// known looks an address up: the binding in force, or the newest end that is not an exit.
func (s *Store) known(a *address) (k known, ok bool) {
	thing := a.hash(s.hash)
	if at, is := s.crowded[thing]; is && at.duid != nil {
		live := s.knownOf(at.place, at.duid, a, &k, &ok)
		if live || ok && k.entry.mark == at.mark {
			return k, true
		}
		k, ok = known{}, false
	}
	var last pair
	var p pairPath
	entries := 0
	live := false
	p.seek(s.addresses.root, s.addresses.height, pair{thing: thing})
	for ; !live && p.settle() && p.pair().thing == thing; p.i++ {
		entries++
		if q := p.pair(); q != last || !ok {
			last = q
			live = s.knownAt(q.place(), a, &k, &ok)
		}
	}
	if entries >= s.crowd || len(s.crowded) > 0 {
		s.crowded.found(thing, entries >= s.crowd, &k, ok)
	}
	return k, ok
}

// knownAt looks at the clients of one place; it is true when the binding in force was found.
func (s *Store) knownAt(lh uint64, a *address, k *known, ok *bool) (live bool) {
	var p path
	for at := (key{place: lh}); s.clients.seek(&p, &at) && p.settle() && p.place() == lh; {
		duid := bytes.Clone(p.record().duid())
		if s.knownOf(lh, duid, a, k, ok) {
			return true
		}
		at.duid = append(duid[:len(duid):len(duid)], 0)
	}
	return false
}

// knownOf looks at one client; it is true when the binding in force was found. It keeps duid.
func (s *Store) knownOf(lh uint64, duid []byte, a *address, k *known, ok *bool) (live bool) {
	first, last := a.kinds()
	for kind := first; kind <= last; kind++ {
		s.eachEntry(lh, duid, kind, a, func(r record, e packed) bool {
			live = e.state() == binding.Active
			if live || e.state() != binding.Moved && (!*ok || e.mark() > k.entry.mark) {
				*k, *ok = known{place: lh, duid: duid, entry: r.unpack(e).clone()}, true
			}
			return !live
		})
		if live {
			return true
		}
	}
	return false
}

// clone makes e independent of the record that it came from.
func (e entry) clone() entry {
	e.chain, e.name, e.options = bytes.Clone(e.chain), bytes.Clone(e.name), bytes.Clone(e.options)
	return e
}
