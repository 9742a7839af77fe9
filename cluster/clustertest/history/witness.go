package history

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"time"
)

// witness looks for an order that explains a history, as porcupine does, but takes every read at the first moment that shows
// what it saw: since a read changes nothing, to leave it for later gains nothing. Porcupine would try that too, for each of the
// reads that overlap. A history that is explained can then be given to porcupine with each operation at the moment found.
type witness struct {
	ops      []operation
	byReturn []int // what has to take place, by return
	reads    []int // by call
	writes   []int // by call
	done     []bool
	order    []int
	tried    map[string]bool
	deadline time.Time
}

// find gives the operations in an order that explains them, without unknown ones that need not have happened, if there is one.
// decided is false when the time was too short to tell.
func find(initial Versions, ops []operation, timeout time.Duration) (order []int, found, decided bool) {
	w := &witness{ops: ops, done: make([]bool, len(ops)), tried: map[string]bool{}, deadline: time.Now().Add(timeout)}
	for i := range ops {
		if ops[i].write == nil {
			w.reads = append(w.reads, i)
		} else {
			w.writes = append(w.writes, i)
		}
		if !ops[i].unknown {
			w.byReturn = append(w.byReturn, i)
		}
	}
	byCall := func(a, b int) int { return cmp.Compare(ops[a].call, ops[b].call) }
	slices.SortStableFunc(w.reads, byCall)
	slices.SortStableFunc(w.writes, byCall)
	slices.SortStableFunc(w.byReturn, func(a, b int) int { return cmp.Compare(ops[a].ret, ops[b].ret) })
	found = w.next(state{versions: initial}, 0)
	return w.order, found, found || time.Now().Before(w.deadline)
}

// horizon is when the next operation must have taken place at the latest: none that was called later can come before.
func (w *witness) horizon(from int) (int, time.Duration) {
	for ; from < len(w.byReturn); from++ {
		if !w.done[w.byReturn[from]] {
			return from, w.ops[w.byReturn[from]].ret
		}
	}
	return from, math.MaxInt64
}

// next extends the order in every way that may be needed until it is whole.
func (w *witness) next(s state, from int) bool {
	began := len(w.order)
	undo := func() {
		for _, i := range w.order[began:] {
			w.done[i] = false
		}
		w.order = w.order[:began]
	}
	from, limit := w.takeReads(s, from)
	if from == len(w.byReturn) {
		return true
	}
	if key := w.key(s); w.tried[key] || time.Now().After(w.deadline) {
		undo()
		return false
	} else {
		w.tried[key] = true
	}
	for _, i := range w.writes {
		if w.ops[i].call > limit {
			break
		}
		if w.done[i] {
			continue
		}
		if ok, after := s.step(&w.ops[i]); ok && after != s {
			w.done[i], w.order = true, append(w.order, i)
			if w.next(after, from) {
				return true
			}
			w.done[i], w.order = false, w.order[:len(w.order)-1]
		}
	}
	undo()
	return false
}

// takeReads takes every read that the state explains and that may come now.
func (w *witness) takeReads(s state, from int) (int, time.Duration) {
	for {
		var limit time.Duration
		from, limit = w.horizon(from)
		took := false
		for _, i := range w.reads {
			if w.ops[i].call > limit {
				break
			}
			if w.done[i] {
				continue
			}
			if ok, _ := s.step(&w.ops[i]); ok {
				w.done[i], w.order, took = true, append(w.order, i), true
			}
		}
		if !took {
			return from, limit
		}
	}
}

// key is what the rest of the search depends on: what is done, and the state.
func (w *witness) key(s state) string {
	b := make([]byte, (len(w.done)+7)/8, len(w.done)/8+1+4*(MaxKeys+MaxChains))
	for i, d := range w.done {
		if d {
			b[i/8] |= 1 << (i % 8)
		}
	}
	for _, v := range s.versions {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	for _, v := range s.last {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return string(b)
}

// narrowed is the history with each operation at one moment within its time, in the order given.
func narrowed(ops []operation, order []int) []operation {
	var out []operation
	at := time.Duration(math.MinInt64)
	for _, i := range order {
		o := ops[i]
		at = max(at, o.call)
		switch {
		case at < o.ret || o.unknown:
			at++ // after the one before, where there is room
		case at > o.ret:
			panic("an order that is none")
		}
		o.call, o.ret, o.unknown = at, at, false
		out = append(out, o)
	}
	return out
}
