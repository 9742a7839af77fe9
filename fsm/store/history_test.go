package store

import (
	"bytes"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
)

// TestBeginHistoryChangesNothingElse: whatever the store has, only its clock, the number of the newest change and where the history
// begins are others afterwards; none of them goes back.
func TestBeginHistoryChangesNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, clock := New(), binding.Time(1_790_000_000_000)
		for i := range rapid.IntRange(0, 20).Draw(t, "batches") {
			clock += binding.Time(rapid.IntRange(0, 30_000).Draw(t, "pause"))
			if rapid.IntRange(0, 5).Draw(t, "maintain") == 0 {
				s.Maintain(uint64(i+1), clock, 3)
				continue
			}
			s.Apply(Batch{Index: uint64(i + 1), Clock: clock, Source: "kea-a", Changes: []binding.Change{drawChange(t, clock)}})
		}
		before, old := written(t, s), s.View()
		defer old.Release()
		at := clock + binding.Time(rapid.SampledFrom([]int{-5000, 0, 1, 86_400_000}).Draw(t, "later"))
		s.BeginHistory(at)
		after, v := written(t, s), s.View()
		defer v.Release()
		want := max(at, old.Clock())
		if v.Clock() != want || v.HistorySince() != max(want, old.HistorySince()) || v.Change() != max(old.Change(), binding.ChangesFrom(want)) {
			t.Fatalf("begun at %d: clock %d, history since %d, change %d; before %d, %d, %d", at, v.Clock(), v.HistorySince(), v.Change(),
				old.Clock(), old.HistorySince(), old.Change())
		}
		for _, b := range [][]byte{before, after} {
			clear(b[16:32]) // clock, mark
			clear(b[40:48]) // since
		}
		if !bytes.Equal(before, after) {
			t.Fatal("something else is another")
		}
		if binary.LittleEndian.Uint64(before[8:]) != v.Index() {
			t.Fatalf("index %d is no longer that of the store", v.Index())
		}
	})
}

// written is the store's snapshot.
func written(t *rapid.T, s *Store) []byte {
	v := s.Snapshot()
	defer v.Release()
	var b bytes.Buffer
	if _, err := v.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
