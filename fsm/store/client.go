package store

import (
	"bytes"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
)

// locate leads p to the record that holds an entry of the given order, or that should take it (true), or to where a record
// for it must be put (false).
func (p *path) locate(root *inner, height int, lh uint64, duid []byte, o *order) bool {
	k := key{place: lh, duid: duid, order: o}
	if !p.seek(root, height, &k) {
		return false
	}
	here := p.isAt(p.i, lh, duid)
	if here && p.record().compare(&k) == 0 {
		return true
	}
	if p.isAt(p.i-1, lh, duid) {
		p.i--
		return true
	}
	return here
}

// isAt tells whether the i-th record of p's page belongs to the client.
func (p *path) isAt(i int, lh uint64, duid []byte) bool {
	return i >= 0 && i < p.page.count() && p.page.place(i) == lh && p.page.record(i).isOf(duid)
}

func (s *Store) locate(p *path, lh uint64, duid []byte, o *order) bool {
	return p.locate(s.clients.root, s.clients.height, lh, duid, o)
}

// hasClient tells whether the client has any record. p is where a record of it was looked for in vain.
func (s *Store) hasClient(p *path, lh uint64, duid []byte) bool {
	if p.page != nil && p.i > 0 && p.i < p.page.count() {
		return false // records before and behind are others'
	}
	var q path
	return s.clients.seek(&q, &key{place: lh, duid: duid}) && q.settle() && q.isAt(q.i, lh, duid)
}

// add puts an entry into its client's record, or begins one, and into the indexes. e may not alias a record.
func (s *Store) add(lh uint64, duid []byte, e *entry) {
	s.enter(lh, duid, e)
	a := e.address()
	thing := a.hash(s.hash)
	s.addresses.insert(pairOf(thing, lh))
	s.crowded.entered(thing, lh, duid, e)
}

// enter is add without the index of addresses.
func (s *Store) enter(lh uint64, duid []byte, e *entry) {
	var p path
	o := e.order()
	found := s.locate(&p, lh, duid, &o)
	fresh := !found && !s.hasClient(&p, lh, duid)
	entries, known := s.entries[:0], false
	if found {
		entries = p.record().appendEntries(entries)
		known = slices.ContainsFunc(entries, func(x entry) bool { return bytes.Equal(x.chain, e.chain) })
	}
	at := len(entries)
	for at > 0 {
		if prev := entries[at-1].order(); prev.compare(&o) < 0 {
			break
		}
		at--
	}
	entries = slices.Insert(entries, at, *e)
	s.write(&p, found, lh, duid, entries)
	s.entries = entries
	if fresh {
		s.links.Acquire(placeLink(lh))
		s.duids.put(pair{uint32(lh), uint32(lh >> 32), 0})
	}
	if !known {
		s.putIDs(lh, e.chain)
	}
	s.count(lh, e)
}

// putIDs puts a chain's relay-ids and remote-ids into the indexes.
func (s *Store) putIDs(lh uint64, chain []byte) {
	s.ids.gather(s.hash, chain)
	for _, h := range s.ids.relays {
		s.relays.put(pairOf(h, lh))
	}
	for _, h := range s.ids.remotes {
		s.remotes.put(pairOf(h, lh))
	}
}

// drop takes the entry of the given order out of its client's records and the indexes; false if there is none.
func (s *Store) drop(lh uint64, duid []byte, o *order) bool {
	var p path
	if !s.locate(&p, lh, duid, o) {
		return false
	}
	entries := p.record().appendEntries(s.entries[:0])
	s.entries = entries
	i := slices.IndexFunc(entries, func(x entry) bool { q := x.order(); return q.compare(o) == 0 })
	if i < 0 {
		return false
	}
	e := entries[i]
	known := slices.ContainsFunc(entries, func(x entry) bool {
		q := x.order()
		return q.compare(o) != 0 && bytes.Equal(x.chain, e.chain)
	})
	s.uncount(lh, &e)
	s.ids.clear()
	if !known {
		s.ids.gather(s.hash, e.chain)
	}
	a := e.address()
	entries = slices.Delete(entries, i, i+1)
	if len(entries) > 0 {
		s.write(&p, true, lh, duid, entries)
	} else {
		s.clients.remove(&p)
		s.left(lh, duid)
	}
	thing := a.hash(s.hash)
	s.addresses.remove(pairOf(thing, lh))
	s.crowded.left(thing, lh, duid, &e)
	s.forgetIDs(lh)
	return true
}

// left is called when a record of the client has gone, and perhaps the client with it.
func (s *Store) left(lh uint64, duid []byte) {
	var p path
	if !s.clients.seek(&p, &key{place: lh, duid: duid}) || !p.settle() || !p.isAt(p.i, lh, duid) {
		s.links.Release(placeLink(lh))
	}
	if !s.clients.seek(&p, &key{place: lh}) || !p.settle() || p.place() != lh {
		s.duids.remove(pair{uint32(lh), uint32(lh >> 32), 0})
	}
}

// write puts the entries, as one record or more, in the place of the record at p, or before it if there was none.
func (s *Store) write(p *path, found bool, lh uint64, duid []byte, entries []entry) {
	rec, ok := s.encoder.encode(duid, entries)
	if ok && (len(rec) <= maxRecord || len(entries) == 1) {
		s.put(p, found, lh, rec)
		return
	}
	var recs []record
	s.split(&recs, duid, entries)
	s.put(p, found, lh, recs[0])
	for _, rec := range recs[1:] {
		o := packed(rec.first()).order()
		s.clients.seek(p, &key{place: lh, duid: duid, order: &o})
		s.clients.insert(p, lh, rec)
	}
}

func (s *Store) put(p *path, found bool, lh uint64, rec record) {
	if found {
		s.clients.replace(p, rec)
	} else {
		s.clients.insert(p, lh, rec)
	}
}

// split encodes the entries as records of fair size.
func (s *Store) split(recs *[]record, duid []byte, entries []entry) {
	rec, ok := s.encoder.encode(duid, entries)
	if ok && (len(rec) <= maxRecord || len(entries) == 1) {
		*recs = append(*recs, bytes.Clone(rec))
		return
	}
	mid := len(entries) / 2
	s.split(recs, duid, entries[:mid])
	s.split(recs, duid, entries[mid:])
}

// count and uncount keep the sums and the census of entries.
func (s *Store) count(lh uint64, e *entry) {
	if e.kind == binding.TA {
		s.sums.temporary++
	}
	if e.ended() {
		s.sums.ended++
		return
	}
	s.sums.live++
	if e.kind == binding.PD {
		s.sums.delegated[e.bits]++
	}
	s.sourceAt(e.source).bindings++
	s.census.add(s.places, placeLink(lh), e)
}

func (s *Store) uncount(lh uint64, e *entry) {
	if e.kind == binding.TA {
		s.sums.temporary--
	}
	if e.ended() {
		s.sums.ended--
		return
	}
	s.sums.live--
	if e.kind == binding.PD {
		s.sums.delegated[e.bits]--
	}
	s.sourceAt(e.source).bindings--
	s.census.drop(s.places, placeLink(lh), e)
}
