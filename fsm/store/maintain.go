package store

import (
	"bytes"

	"github.com/leasehold/leasehold/fsm/binding"
)

// sweepShare is how many entries a sweep looks at for each one that a call of Maintain may touch.
const sweepShare = 16

// Maintain ends the bindings whose valid lifetime has run out by the clock, removes what a full resync no longer had, and
// forgets the ends that are older than the history. It touches at most limit entries and tells whether more is due.
func (s *Store) Maintain(index uint64, clock binding.Time, limit int) (c Counts, more bool) {
	s.begin(index, clock)
	defer s.mu.Unlock()
	left := limit
	for ; left > 0; left-- {
		d, ok := s.nextDue()
		if !ok {
			break
		}
		s.settleDue(d, &c)
	}
	for _, src := range s.sources {
		if src.sweeping && left > 0 {
			left -= s.sweep(src, left, &c)
		}
	}
	for _, src := range s.sources {
		more = more || src.sweeping
	}
	if !more {
		_, more = s.nextDue()
	}
	return c, more
}

// nextDue finds the first entry that is due, in the order of the tree whatever its pages, so that the outcome is the same on
// every node. On its way it makes exact what the nodes say of pages in which nothing is due any more.
func (s *Store) nextDue() (move, bool) {
	var p path
	for s.clients.seekDue(&p, s.clock) {
		for i := range p.page.count() {
			r := p.page.record(i)
			for e := range r.all {
				if e.due(s.history) <= s.clock {
					return move{p.page.place(i), bytes.Clone(r.duid()), e.order()}, true
				}
			}
		}
		s.clients.own(&p)
		s.clients.tighten(&p)
	}
	return move{}, false
}

// settleDue does what is due for one entry.
func (s *Store) settleDue(d move, c *Counts) {
	if d.order.mark != 0 {
		if s.drop(d.place, d.duid, &d.order) {
			s.historySince = max(s.historySince, markTime(d.order.mark)+1)
			s.forgotten = max(s.forgotten, d.order.mark)
			c.Pruned++
		}
		return
	}
	if s.finishAt(d, binding.Expired) {
		c.Expired++
	}
}

// finishAt ends a binding for a reason of the cluster's own.
func (s *Store) finishAt(m move, reason binding.State) bool {
	e, ok := s.entryAt(m)
	if !ok || e.ended() {
		return false
	}
	s.finish(m.place, m.duid, &e, reason)
	s.follow(m.duid, &e)
	return true
}

// entryAt is a copy of the entry.
func (s *Store) entryAt(m move) (e entry, ok bool) {
	var p path
	if !s.locate(&p, m.place, m.duid, &m.order) {
		return e, false
	}
	r := p.record()
	for x := range r.all {
		if o := x.order(); o.compare(&m.order) == 0 {
			return r.unpack(x).clone(), true
		}
	}
	return e, false
}

// sweep removes bindings of the source that its last resync did not state, and tells how many of limit it used.
func (s *Store) sweep(src *source, limit int, c *Counts) int {
	var stale []move
	looked := 0
	more := s.walk(&src.swept, func(lh uint64, r record, e packed) bool {
		looked++
		if e.state() == binding.Active && e.source() == src.number && e.gen() != src.gen {
			stale = append(stale, move{lh, bytes.Clone(r.duid()), e.order()})
		}
		return len(stale) < limit && looked < limit*sweepShare
	})
	src.sweeping = more
	if !more {
		src.swept = position{}
	}
	for _, m := range stale {
		if s.finishAt(m, binding.Swept) {
			c.Swept++
		}
	}
	return max(len(stale), looked/sweepShare)
}

// seekDue leads to the first page that may have something due by the clock.
func (t *tree) seekDue(p *path, clock binding.Time) bool {
	p.depth = t.height
	n := t.root
	for d := 0; ; d++ {
		i := 0
		for i < n.n && n.due[i] > clock {
			i++
		}
		if i == n.n {
			return false
		}
		p.nodes[d], p.at[d] = n, i
		if d == t.height-1 {
			p.page, p.i = n.pages[i], 0
			return true
		}
		n = n.kids[i]
	}
}

// retime makes every bound exact after the history has become shorter.
func (t *tree) retime() {
	var p path
	if !t.seek(&p, &key{}) {
		return
	}
	for ok := p.settle(); ok; ok = p.nextPage() {
		t.own(&p)
		t.tighten(&p)
	}
}
