package store

import (
	"bytes"

	"github.com/leasehold/leasehold/fsm/binding"
)

// outcome is what became of a change.
type outcome uint8

const (
	changed outcome = iota
	unchanged
	ignored
)

func (c *Counts) tally(o outcome) {
	switch o {
	case changed:
		c.Changed++
	case unchanged:
		c.Unchanged++
	case ignored:
		c.Ignored++
	}
}

// Apply applies the changes of one source in their order. They have been validated.
func (s *Store) Apply(b Batch) Counts {
	s.begin(b.Index, b.Clock)
	defer s.mu.Unlock()
	var c Counts
	src := s.source(b.Source)
	if src == nil {
		c.Ignored = uint64(len(b.Changes))
		return c
	}
	for changes := b.Changes; len(changes) > 0; {
		n := min(touchAhead, len(changes))
		s.touch(src, changes[:n])
		for i := range n {
			c.tally(s.applyChange(src, &changes[i], s.touched.unknown[i]))
		}
		changes = changes[n:]
	}
	return c
}

// applyChange applies one change. unknown tells whether its address was in no record a moment ago.
func (s *Store) applyChange(src *source, c *binding.Change, unknown bool) outcome {
	switch c.Event {
	case binding.Upsert:
		return s.upsert(src, &c.Binding, unknown)
	case binding.End:
		return s.end(src, c)
	case binding.DefineLink:
		return s.rehomed(s.links.Define(src.name, c.Link))
	case binding.RemoveLink:
		return s.rehomed(s.links.Remove(src.name, c.Link.Label))
	}
	return ignored
}

// upsert is the news that a client has a binding.
func (s *Store) upsert(src *source, b *binding.Binding, unknown bool) outcome {
	a := addressOf(b.Key())
	e := entry{
		kind: b.Kind, bits: a.bits, gen: src.gen, octets: a.octets, source: src.number, iaid: b.IAID,
		preferred: b.Preferred, valid: b.Valid, stamp: b.Stamp, lt: clamp48(b.LastTransaction),
		chain: b.Chain, name: b.LinkName, options: b.Options,
	}
	h := s.hash.of(b.DUID)
	home := s.home(&e, b.DUID, h)
	lh := place(home, h)
	if unknown && s.introduce(lh, b.DUID, &a, &e) {
		return changed
	}
	var p path
	if off := s.findLive(&p, lh, b.DUID, &a); off >= 0 {
		return s.renew(src, &p, off, b.DUID, &e)
	}
	k, ok := s.known(&a)
	if ok && !s.wins(binding.Upsert, src, &k.entry, e.lt) {
		s.links.Acquire(home)
		s.links.Release(home) // goes away if it was made up for nothing
		s.dispute(b.DUID, &e, k.duid, &k.entry)
		return ignored
	}
	s.links.Acquire(home) // keeps it while the client's other records move
	if ok && !k.entry.ended() {
		reason := binding.Reassigned
		if string(k.duid) == string(b.DUID) && sameIA(&k.entry, &e) {
			reason = binding.Moved
		}
		s.finish(k.place, k.duid, &k.entry, reason)
		if reason == binding.Reassigned && k.entry.source != e.source {
			s.dispute(k.duid, &k.entry, b.DUID, &e)
		}
	}
	s.settled(e.source, a)
	e.mark = s.nextMark(lh)
	s.insert(lh, b.DUID, &e)
	if ok && !k.entry.ended() {
		s.follow(k.duid, &k.entry)
	}
	s.follow(b.DUID, &e)
	s.links.Release(home)
	return changed
}

// introduce adds a binding of an address that no record is about, and is false if there may be one. Without a pair for the
// address in the index there is nothing to compare with, nothing to end and nothing to supersede: the way to where that pair
// is missing is the way to where it goes, and the client's record is sought once.
func (s *Store) introduce(lh uint64, duid []byte, a *address, e *entry) bool {
	var at pairPath
	thing := a.hash(s.hash)
	if s.addresses.seekThing(&at, thing) {
		return false
	}
	s.settled(e.source, *a)
	e.mark = s.nextMark(lh)
	s.addresses.insertFrom(&at, pairOf(thing, lh))
	s.enter(lh, duid, e)
	s.follow(duid, e)
	return true
}

// sameIA tells whether two entries belong to the same identity association of a client.
func sameIA(x, y *entry) bool { return x.kind == y.kind && x.iaid == y.iaid }

// wins asks the conflict table.
func (s *Store) wins(event binding.Event, src *source, old *entry, lt binding.Time) bool {
	return binding.News{
		Event:      event,
		SameSource: old.source == src.number,
		Age:        binding.CompareAge(lt, old.told()),
		Ended:      old.ended(),
		Swept:      s.revive && old.state == binding.Swept,
		Higher:     src.name > s.sourceAt(old.source).name,
	}.Wins()
}

// renew is the news that a client has a binding that it is known to have, on the same link. The entry in force is at offset
// off of the record at p.
func (s *Store) renew(src *source, p *path, off int, duid []byte, e *entry) outcome {
	lh := p.place()
	old := p.record().unpack(packed(p.record()[off:]))
	if !s.wins(binding.Upsert, src, &old, e.lt) {
		s.dispute(duid, e, duid, &old)
		return ignored
	}
	if old.source != e.source {
		s.settled(e.source, e.address())
	}
	if !sameIA(&old, e) {
		old = old.clone()
		s.finish(lh, duid, &old, binding.Reassigned)
		if old.source != e.source {
			s.dispute(duid, &old, duid, e)
		}
		e.mark = s.nextMark(lh)
		s.insert(lh, duid, e)
		s.follow(duid, &old)
		s.follow(duid, e)
		return changed
	}
	sameChain := bytes.Equal(old.chain, e.chain)
	sameTexts := sameChain && bytes.Equal(old.name, e.name) && bytes.Equal(old.options, e.options)
	if sameTexts && old.source == e.source && old.stamp == e.stamp && old.preferred == e.preferred && old.valid == e.valid {
		if old.gen != e.gen {
			s.clients.own(p)
			packed(p.record()[off:]).setGen(e.gen)
		}
		return unchanged
	}
	e.mark = s.nextMark(lh)
	if !sameTexts || old.source != e.source {
		s.restate(lh, duid, old.clone(), e, sameChain)
		return changed
	}
	s.clients.own(p)
	packed(p.record()[off:]).renew(e)
	s.clients.note(p, e.due(s.history), e.mark)
	return changed
}

// restate replaces a binding in force by what its client's server, or another source, says now. What was known of it behind
// another relay chain becomes an exit.
func (s *Store) restate(lh uint64, duid []byte, old entry, e *entry, sameChain bool) {
	s.links.Acquire(placeLink(lh))
	o := old.order()
	if sameChain {
		s.drop(lh, duid, &o)
	} else {
		s.finish(lh, duid, &old, binding.Moved)
	}
	s.insert(lh, duid, e)
	if len(old.chain) == 0 || len(e.chain) == 0 {
		s.follow(duid, &old)
		s.follow(duid, e)
	}
	s.links.Release(placeLink(lh))
}

// insert adds a binding in force. It supersedes the client's ends of the same binding behind the same relay chain.
func (s *Store) insert(lh uint64, duid []byte, e *entry) {
	s.links.Acquire(placeLink(lh)) // keeps it while an end that was all there was on it goes
	s.supersede(lh, duid, e)
	s.add(lh, duid, e)
	s.links.Release(placeLink(lh))
}
