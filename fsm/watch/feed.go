package watch

import (
	"sort"
	"sync"

	"github.com/leasehold/leasehold/fsm/binding"
)

// DefaultSize is how many changes a Feed keeps unless it is told otherwise: a minute of 4,000 changes a second, in 4 MiB.
const DefaultSize = 1 << 18

// firstSize is how many changes a Feed has room for at first. It grows with what comes.
const firstSize = 1 << 10

// stretch is how many changes are copied to a reader before the writer may have its turn: some microseconds.
const stretch = 1 << 12

// Feed keeps the newest changes in a ring: a binding.Feed. One goroutine writes, any may read. Publish and After hold one lock, for
// a copy of a batch and of a stretch of the ring: neither waits for more than that of the other.
type Feed struct {
	size int // how many changes are kept at most

	mu    sync.RWMutex
	ring  []binding.Mark
	begin int    // where the oldest is
	kept  int    // how many there are
	since uint64 // every change behind this number is there

	wait    sync.Mutex
	changed chan struct{} // nil: nobody has asked
}

var _ binding.Feed = (*Feed)(nil)

// New is a feed of a state without changes, that keeps size of them; 0 is DefaultSize.
func New(size int) *Feed {
	if size <= 0 {
		size = DefaultSize
	}
	return &Feed{size: size, ring: make([]binding.Mark, min(size, firstSize))}
}

// Size is how many changes are kept at most.
func (f *Feed) Size() int { return f.size }

// Publish adds changes, which are the next in order. A view taken from now on must show them. If lost is not 0, changes up to that
// number are missing before them, and what was kept goes. Readers that wait are woken if there is anything new.
func (f *Feed) Publish(marks []binding.Mark, lost uint64) {
	if len(marks) == 0 && lost == 0 {
		return
	}
	f.mu.Lock()
	if lost > 0 {
		f.begin, f.kept, f.since = 0, 0, lost
	}
	f.add(marks)
	f.mu.Unlock()
	f.wake()
}

// Restart empties the feed: the state is another one now, whose newest change has the given number.
func (f *Feed) Restart(newest uint64) {
	f.mu.Lock()
	f.begin, f.kept, f.since = 0, 0, newest
	f.mu.Unlock()
	f.wake()
}

// add puts changes behind the newest; the oldest go where there is no room.
func (f *Feed) add(marks []binding.Mark) {
	if over := len(marks) - f.size; over > 0 {
		f.begin, f.kept, f.since = 0, 0, marks[over-1].Change
		marks = marks[over:]
	}
	f.grow(f.kept + len(marks))
	if over := f.kept + len(marks) - len(f.ring); over > 0 {
		f.since = f.at(over - 1).Change
		f.begin = (f.begin + over) % len(f.ring)
		f.kept -= over
	}
	end := (f.begin + f.kept) % len(f.ring)
	n := copy(f.ring[end:], marks)
	copy(f.ring, marks[n:])
	f.kept += len(marks)
}

// grow makes room for n changes, as far as the size allows.
func (f *Feed) grow(n int) {
	if n <= len(f.ring) || len(f.ring) == f.size {
		return
	}
	room := len(f.ring)
	for room < n && room < f.size {
		room = min(2*room, f.size)
	}
	ring := make([]binding.Mark, room)
	first := copy(ring, f.ring[f.begin:min(f.begin+f.kept, len(f.ring))])
	copy(ring[first:f.kept], f.ring)
	f.ring, f.begin = ring, 0
}

// at is the i-th change kept, from the oldest.
func (f *Feed) at(i int) binding.Mark { return f.ring[(f.begin+i)%len(f.ring)] }

// After appends to dst, up to its capacity, the changes behind the number after, in order. ok is false when the feed does not reach
// so far back.
func (f *Feed) After(after uint64, dst []binding.Mark) (marks []binding.Mark, ok bool) {
	marks = dst
	for {
		before := len(marks)
		if marks, ok = f.after(after, marks); !ok {
			return marks, before > len(dst) // what was read before the writer overtook is whole
		}
		if len(marks)-before < stretch || len(marks) == cap(marks) {
			return marks, true
		}
		after = marks[len(marks)-1].Change
	}
}

// after appends at most a stretch.
func (f *Feed) after(after uint64, dst []binding.Mark) ([]binding.Mark, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if after < f.since {
		return dst, false
	}
	i := sort.Search(f.kept, func(i int) bool { return f.at(i).Change > after })
	n := min(f.kept-i, cap(dst)-len(dst), stretch)
	from := (f.begin + i) % len(f.ring)
	first := min(n, len(f.ring)-from)
	dst = append(dst, f.ring[from:from+first]...)
	return append(dst, f.ring[:n-first]...), true
}

// Changed is closed when the next changes have been published. Ask for it before looking: a reader that looks first may wait
// for what is there already.
func (f *Feed) Changed() <-chan struct{} {
	f.wait.Lock()
	defer f.wait.Unlock()
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.changed
}

// wake wakes whoever has asked.
func (f *Feed) wake() {
	f.wait.Lock()
	defer f.wait.Unlock()
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}
