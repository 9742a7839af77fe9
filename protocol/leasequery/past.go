package leasequery

import (
	"slices"
	"sync"

	"github.com/leasehold/leasehold/fsm/binding"
)

const (
	pastMarks    = 1 << 18 // marks of a stretch at most: 4 MiB
	maxStretches = 4       // kept at once
)

// past is what the feed has forgotten of the order of changes, for all subscriptions of an engine that are that far behind. The state has
// no such order: finding a stretch of it is a walk over every client, which costs as much for a few marks as for many. So one walk brings
// many, for everybody: all go the same way, and when a node has been away a hundred come at once.
//
// A stretch may be of an older state than the view in which its marks are looked at: what is to be told in that view up to the
// stretch's end has a mark in it all the same, or a later one behind it.
type past struct {
	size   int        // marks of a stretch; 0 is pastMarks
	making sync.Mutex // one walk at a time, however many wait

	mu        sync.Mutex
	readers   int
	stretches []stretch // the one that was used last at the end
	spare     []binding.Mark
}

// stretch is the changes behind one number up to another.
type stretch struct {
	after, upTo uint64
	marks       []binding.Mark
}

// enter is called by whoever begins to take; what is kept is kept until all have left.
func (p *past) enter() {
	p.mu.Lock()
	p.readers++
	p.mu.Unlock()
}

// leave is the counterpart of enter.
func (p *past) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.readers--; p.readers == 0 {
		p.stretches, p.spare = nil, nil
	}
}

// take appends to dst, which has room, marks behind the number after, as History.Oldest does, but not of the very newest state. They are
// all that is to be told up to upTo, which is behind after unless the state is older. It may wait for a walk.
func (p *past) take(h History, after uint64, dst []binding.Mark) (marks []binding.Mark, upTo uint64) {
	marks, upTo, ok := p.copy(after, dst)
	if ok {
		return marks, upTo
	}
	p.making.Lock()
	defer p.making.Unlock()
	if marks, upTo, ok = p.copy(after, dst); ok { // somebody has made it meanwhile
		return marks, upTo
	}
	s := p.walk(h, after)
	p.keep(s)
	return s.copy(after, dst)
}

// copy is take from what is kept.
func (p *past) copy(after uint64, dst []binding.Mark) (marks []binding.Mark, upTo uint64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range p.stretches {
		if s.after <= after && after < s.upTo {
			p.stretches = append(slices.Delete(p.stretches, i, i+1), s)
			marks, upTo = s.copy(after, dst)
			return marks, upTo, true
		}
	}
	return dst, 0, false
}

// copy appends as much as dst has room for.
func (s *stretch) copy(after uint64, dst []binding.Mark) (marks []binding.Mark, upTo uint64) {
	i, _ := slices.BinarySearchFunc(s.marks, after+1, func(m binding.Mark, n uint64) int {
		if m.Change < n {
			return -1
		}
		return 1
	})
	rest := s.marks[i:]
	if room := cap(dst) - len(dst); len(rest) > room {
		rest = rest[:room]
		return append(dst, rest...), rest[room-1].Change
	}
	return append(dst, rest...), s.upTo
}

// walk finds a stretch in the newest state.
func (p *past) walk(h History, after uint64) stretch {
	v := h.Latest()
	defer v.Release()
	size := p.size
	if size == 0 {
		size = pastMarks
	}
	p.mu.Lock()
	room := p.spare
	p.spare = nil
	p.mu.Unlock()
	if cap(room) < size {
		room = make([]binding.Mark, 0, size)
	}
	s := stretch{after: after, upTo: v.Change()}
	switch s.marks = v.Oldest(after, room[:0]); {
	case len(s.marks) == cap(s.marks):
		s.upTo = s.marks[len(s.marks)-1].Change
	case len(s.marks) < cap(s.marks)/2:
		s.marks = slices.Clone(s.marks)
	}
	return s
}

// keep keeps a stretch, in the place of the one that was not used for the longest time.
func (p *past) keep(s stretch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.readers == 0 {
		return
	}
	if len(p.stretches) == maxStretches {
		p.spare = p.stretches[0].marks
		p.stretches = slices.Delete(p.stretches, 0, 1)
	}
	p.stretches = append(p.stretches, s)
}
