package store

import (
	"bytes"
	"time"

	"github.com/leasehold/leasehold/fsm/binding"
)

// maxEarly bounds how long the end of a binding is kept that ended before its lifetime ran out.
const maxEarly = binding.Time(24 * time.Hour / time.Millisecond)

// end is the news that a client no longer has a binding.
func (s *Store) end(src *source, c *binding.Change) outcome {
	b := &c.Binding
	a := addressOf(b.Key())
	s.settled(src.number, a)
	k, ok := s.known(&a)
	if !ok || k.entry.ended() {
		return ignored
	}
	if len(b.DUID) > 0 && (string(b.DUID) != string(k.duid) || b.IAID != k.entry.iaid) {
		return ignored
	}
	at := clamp48(b.LastTransaction)
	if !s.wins(binding.End, src, &k.entry, at) {
		return ignored
	}
	s.finishBy(src.number, k.place, k.duid, &k.entry, c.Reason, at)
	s.follow(k.duid, &k.entry)
	return changed
}

// KeepLastTransaction makes ends that no source reports keep the client's last transaction from now on. Before, they had the time
// of the end in its place.
func (s *Store) KeepLastTransaction() { s.keepLast = true }

// ReviveSwept makes what a sweep has ended anybody's to state from now on. Before, a sweep stood in the way of what other sources
// had said before it.
func (s *Store) ReviveSwept() { s.revive = true }

// finish turns a binding in force into an end that no source reports, kept in its client's record until it is pruned. live may not
// alias a record.
func (s *Store) finish(lh uint64, duid []byte, live *entry, reason binding.State) {
	e := *live
	if s.keepLast {
		e.own = true
	} else {
		e.lt = s.clock
	}
	s.finishAs(lh, duid, live, &e, reason)
}

// finishBy is finish for an end that a source reports: the end is that source's, who may not be the one that owned the
// binding. What comes later is weighed against the end.
func (s *Store) finishBy(source uint16, lh uint64, duid []byte, live *entry, reason binding.State, at binding.Time) {
	e := *live
	e.lt, e.source = at, source
	s.finishAs(lh, duid, live, &e, reason)
}

// finishAs puts the end e in the place of the binding in force.
func (s *Store) finishAs(lh uint64, duid []byte, live, e *entry, reason binding.State) {
	e.state, e.mark = reason, s.nextMark(lh)
	expiry, ends := binding.Expiry(live.valid, live.lt)
	if !ends {
		expiry = never
	}
	if reason != binding.Moved && expiry > s.clock {
		e.until = clamp48(min(expiry, s.clock+maxEarly))
	}
	s.supersede(lh, duid, e)
	s.add(lh, duid, e)
	o := live.order()
	s.drop(lh, duid, &o)
}

// supersede drops the client's ends of e's binding behind e's relay chain: what e says is newer.
func (s *Store) supersede(lh uint64, duid []byte, e *entry) {
	if s.sums.ended == 0 {
		return
	}
	a := e.address()
	var stale []order
	first, last := a.kinds()
	for kind := first; kind <= last; kind++ {
		s.eachEntry(lh, duid, kind, &a, func(r record, x packed) bool {
			if x.state() != binding.Active && bytes.Equal(r.text(x[2]), e.chain) {
				stale = append(stale, x.order())
			}
			return true
		})
	}
	for i := range stale {
		s.drop(lh, duid, &stale[i])
	}
}
