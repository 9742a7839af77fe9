package fsm

import (
	"bytes"
	"io"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/fsm/binding"
)

// feed is the entries of n clients, 512 changes each; round counts how often all of them have renewed.
func feed(tb testing.TB, b *builder, s *Session, n int, round uint32) {
	for from := 0; from < n; from += 512 {
		changes := make([]Change, 0, 512)
		for i := from; i < min(from+512, n); i++ {
			c := upsert(i)
			c.Binding.DUID = []byte{0, 1, 0, 1, 2, 3, 4, 5, 6, 7, byte(i >> 16), byte(i >> 8), byte(i), 9}
			c.Binding.Stamp = round
			changes = append(changes, c)
		}
		s.Sequence++
		b.changes(*s, changes...)
	}
}

func perBinding(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/binding")
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "bindings/s")
}

func BenchmarkEncode(b *testing.B) {
	var changes []Change
	for i := range 512 {
		changes = append(changes, upsert(i))
	}
	var room []byte
	for b.Loop() {
		entry, err := AppendChanges(room[:0], Session{Source: "kea", Epoch: 1, Sequence: 1}, changes)
		if err != nil {
			b.Fatal(err)
		}
		Seal(entry, start)
		room = entry
	}
	perBinding(b, 512)
	b.ReportMetric(float64(len(room))/512, "B/binding")
}

func BenchmarkDecode(b *testing.B) {
	log, s := newLog(b), Session{Source: "kea", Epoch: 1}
	feed(b, log, &s, 512, 0)
	var room []binding.Change
	b.ReportAllocs()
	for b.Loop() {
		e, err := open(log.logs[0].Data)
		if err != nil {
			b.Fatal(err)
		}
		c := newCursor(e.payload)
		c.session()
		if room, err = c.changes(room, start); err != nil {
			b.Fatal(err)
		}
	}
	perBinding(b, 512)
}

func BenchmarkApplyRenewals(b *testing.B) {
	b.Run("level1", func(b *testing.B) { applyRenewals(b, false) })
	b.Run("hashed", func(b *testing.B) { applyRenewals(b, true) })
}

func applyRenewals(b *testing.B, hashed bool) {
	const n = 100_000
	f, s := newFSM(b), Session{Source: "kea", Epoch: 1}
	first := newLog(b)
	if hashed {
		first.raise()
	}
	feed(b, first, &s, n, 0)
	f.ApplyBatch(first.logs)
	rounds, last := 0, uint64(len(first.logs))
	for b.Loop() {
		b.StopTimer()
		rounds++
		log := newLog(b)
		log.clock += binding.Time(rounds)
		feed(b, log, &s, n, uint32(rounds))
		for _, l := range log.logs {
			last++
			l.Index = last
		}
		b.StartTimer()
		f.ApplyBatch(log.logs)
	}
	perBinding(b, n)
}

// BenchmarkRollingHash is what an entry of 512 bindings costs beside what else is done for it.
func BenchmarkRollingHash(b *testing.B) {
	log, s := newLog(b), Session{Source: "kea", Epoch: 1}
	feed(b, log, &s, 512, 0)
	hash := uint64(0)
	for b.Loop() {
		hash = chained(hash, log.logs[0])
	}
	perBinding(b, 512)
}

func BenchmarkSnapshotAndRestore(b *testing.B) {
	const n = 1_000_000
	f, s := newFSM(b), Session{Source: "kea", Epoch: 1}
	log := newLog(b)
	feed(b, log, &s, n, 0)
	for _, l := range log.logs {
		f.ApplyBatch([]*raft.Log{l})
	}
	octets := snapshotOf(b, f)
	b.Run("persist", func(b *testing.B) {
		for b.Loop() {
			snap, err := f.Snapshot()
			if err != nil {
				b.Fatal(err)
			}
			if err := snap.(*snapshot).write(io.Discard); err != nil {
				b.Fatal(err)
			}
			snap.Release()
		}
		perBinding(b, n)
	})
	b.Run("restore", func(b *testing.B) {
		for b.Loop() {
			if err := newFSM(b).Restore(io.NopCloser(bytes.NewReader(octets))); err != nil {
				b.Fatal(err)
			}
		}
		perBinding(b, n)
		b.ReportMetric(float64(len(octets))/n, "B/binding")
	})
}
