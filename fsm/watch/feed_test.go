package watch

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
)

// model is a feed that one would write down to be sure.
type model struct {
	size  int
	all   []binding.Mark
	since uint64
}

func (m *model) publish(marks []binding.Mark, lost uint64) {
	if lost > 0 {
		m.all, m.since = nil, lost
	}
	m.all = append(m.all, marks...)
	if over := len(m.all) - m.size; over > 0 {
		m.since = m.all[over-1].Change
		m.all = m.all[over:]
	}
}

func (m *model) after(after uint64, room int) ([]binding.Mark, bool) {
	if after < m.since {
		return nil, false
	}
	i := 0
	for i < len(m.all) && m.all[i].Change <= after {
		i++
	}
	return m.all[i:min(i+room, len(m.all))], true
}

func (m *model) newest() uint64 {
	if n := len(m.all); n > 0 {
		return m.all[n-1].Change
	}
	return m.since
}

// drawMarks draws changes behind a number.
func drawMarks(t *rapid.T, behind uint64, most int) []binding.Mark {
	var marks []binding.Mark
	for range rapid.IntRange(0, most).Draw(t, "changes") {
		behind += rapid.Uint64Range(1, 3).Draw(t, "step")
		marks = append(marks, binding.Mark{Change: behind, Place: behind * 7})
	}
	return marks
}

// TestFeedEqualsList compares a feed with a list, for sizes around those at which a ring grows and turns.
func TestFeedEqualsList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{1, 2, 7, 64, firstSize + 5, 3 * firstSize}).Draw(t, "size")
		f, m := New(size), &model{size: size}
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				marks := drawMarks(t, m.newest(), 20)
				f.Publish(marks, 0)
				m.publish(marks, 0)
			},
			"publish many": func(t *rapid.T) {
				var marks []binding.Mark
				for n := m.newest(); len(marks) < rapid.SampledFrom([]int{size - 1, size, size + 1, 2*size + 3}).Draw(t, "n"); {
					n++
					marks = append(marks, binding.Mark{Change: n})
				}
				f.Publish(marks, 0)
				m.publish(marks, 0)
			},
			"lose": func(t *rapid.T) {
				lost := m.newest() + rapid.Uint64Range(1, 5).Draw(t, "lost")
				marks := drawMarks(t, lost, 5)
				f.Publish(marks, lost)
				m.publish(marks, lost)
			},
			"restart": func(t *rapid.T) {
				newest := m.newest() + rapid.Uint64Range(0, 5).Draw(t, "newer")
				f.Restart(newest)
				m.all, m.since = nil, newest
			},
			"": func(t *rapid.T) {
				after := uint64(max(0, int(m.newest())+rapid.IntRange(-2*size, 3).Draw(t, "after")))
				room := rapid.SampledFrom([]int{0, 1, 3, size, 3 * size}).Draw(t, "room")
				dst := make([]binding.Mark, 1, room+1)
				got, ok := f.After(after, dst)
				want, wantOK := m.after(after, room)
				if ok != wantOK || !slices.Equal(got[1:], want) || cap(got) != cap(dst) {
					t.Fatalf("after %d, room %d: %v %v, want %v %v", after, room, got[1:], ok, want, wantOK)
				}
			},
		})
	})
}

// TestAfterReadsOverManyStretches has more behind a position than is copied under one hold of the lock.
func TestAfterReadsOverManyStretches(t *testing.T) {
	f := New(0)
	var marks []binding.Mark
	for n := range uint64(3*stretch + 17) {
		marks = append(marks, binding.Mark{Change: n + 1})
	}
	f.Publish(marks, 0)
	got, ok := f.After(5, make([]binding.Mark, 0, len(marks)))
	if !ok || !slices.Equal(got, marks[5:]) {
		t.Fatalf("%d changes of %d, ok %v", len(got), len(marks)-5, ok)
	}
	if n := testing.AllocsPerRun(100, func() { f.After(5, got[:0]) }); n != 0 {
		t.Errorf("%v allocations a page", n)
	}
}

func TestChangedTellsOfEveryPublication(t *testing.T) {
	f := New(8)
	closed := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	one := func(n uint64) []binding.Mark { return []binding.Mark{{Change: n}} }
	for name, tell := range map[string]func(){
		"publish": func() { f.Publish(one(1), 0) },
		"lose":    func() { f.Publish(nil, 5) },
		"restart": func() { f.Restart(5) },
	} {
		c := f.Changed()
		if closed(c) || c != f.Changed() {
			t.Errorf("%s: told before it", name)
		}
		f.Publish(nil, 0)
		if closed(c) {
			t.Errorf("%s: told of nothing", name)
		}
		if tell(); !closed(c) {
			t.Errorf("%s: not told", name)
		}
		if closed(f.Changed()) {
			t.Errorf("%s: told twice", name)
		}
	}
}

// TestPublishingAllocatesNothing holds for a ring that has its size, when nobody waits.
func TestPublishingAllocatesNothing(t *testing.T) {
	f, marks, n := New(1000), make([]binding.Mark, 300), uint64(0)
	publish := func() {
		for i := range marks {
			n++
			marks[i].Change = n
		}
		f.Publish(marks, 0)
	}
	for range 10 {
		publish()
	}
	if allocs := testing.AllocsPerRun(100, publish); allocs != 0 {
		t.Errorf("%v allocations a batch", allocs)
	}
}
