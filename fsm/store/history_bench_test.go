package store

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/fsm/watch"
)

// BenchmarkHistory measures what readers of the order of changes cost: the writer, and themselves. With -bindings 2000000 it is
// about a million clients.
func BenchmarkHistory(b *testing.B) {
	x := newBenchStore(b)
	b.Run("renew, told or not", func(b *testing.B) { benchTold(b, x.store) })
	b.Run("at", func(b *testing.B) { benchAt(b, x.store) })
	for _, room := range []int{1 << 12, 1 << 16, 1 << 18} {
		b.Run(fmt.Sprintf("oldest %d", room), func(b *testing.B) { benchOldest(b, x.store, room) })
	}
	b.Run("catch up", func(b *testing.B) { benchCatchUp(b, x.store) })
}

// benchTold renews with marks collected and published to a feed, and without, by turns.
func benchTold(b *testing.B, s *Store) {
	r := rand.New(rand.NewPCG(5, 6))
	clients := int(s.Len() / 2)
	feed := watch.New(0)
	feed.Restart(s.Change())
	var g generator
	var spent [2]time.Duration
	now := s.clock
	for i := 0; b.Loop(); i++ {
		now += 1000
		for len(g.changes) < benchBatch {
			g.client(r.IntN(clients), now)
		}
		told := i % 2
		s.CollectMarks(told * feed.Size())
		if told == 1 {
			s.marks.made = make([]binding.Mark, 0, benchBatch) // as it is when marks are collected all the time
		}
		begin := cpu(b)
		s.Apply(Batch{Index: s.index + 1, Clock: now, Source: "kea", Changes: g.changes})
		if told == 1 {
			feed.Publish(s.TakeMarks())
		}
		spent[told] += cpu(b) - begin
		g.reset()
	}
	b.ReportMetric(float64(spent[0].Nanoseconds())/float64((b.N+1)/2*benchBatch), "ns/binding-untold")
	b.ReportMetric(float64(spent[1].Nanoseconds())/float64(max(b.N/2, 1)*benchBatch), "ns/binding-told")
	s.CollectMarks(0)
}

func benchAt(b *testing.B, s *Store) {
	v := s.View()
	defer v.Release()
	marks := v.Oldest(0, make([]binding.Mark, 0, 1<<16))
	r := rand.New(rand.NewPCG(7, 8))
	var c binding.Client
	found := 0
	b.ReportAllocs()
	for b.Loop() {
		if v.At(marks[r.IntN(len(marks))], &c) {
			found++
		}
	}
	if found != b.N {
		b.Fatalf("%d of %d", found, b.N)
	}
}

func benchOldest(b *testing.B, s *Store, room int) {
	v := s.View()
	defer v.Release()
	dst := make([]binding.Mark, 0, room)
	b.ReportAllocs()
	begin := cpu(b)
	for b.Loop() {
		v.Oldest(0, dst)
	}
	b.ReportMetric(float64((cpu(b)-begin).Milliseconds())/float64(b.N), "cpu-ms/page")
}

// benchCatchUp reads from the begin to the end, in pages of 64 k.
func benchCatchUp(b *testing.B, s *Store) {
	v := s.View()
	defer v.Release()
	dst := make([]binding.Mark, 0, 1<<16)
	begin, told := cpu(b), 0
	for b.Loop() {
		for position := uint64(0); ; {
			marks := v.Oldest(position, dst)
			if len(marks) == 0 {
				break
			}
			position = marks[len(marks)-1].Change
			told += len(marks)
		}
	}
	b.ReportMetric(float64((cpu(b)-begin).Milliseconds())/float64(b.N), "cpu-ms")
	b.ReportMetric(float64(told)/float64(b.N), "marks")
}
