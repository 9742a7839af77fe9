package fsm

import (
	"bytes"
	"io"
	"testing"

	"github.com/hashicorp/raft"
)

// TestOlderSnapshotChangesNothing restores a snapshot older than the state and applies every entry behind it again, as Raft
// does when it installs such a snapshot. The state never goes back, and is what it was.
func TestOlderSnapshotChangesNothing(t *testing.T) {
	logs := sample(t)
	half := len(logs) / 2
	old := newFSM(t)
	old.ApplyBatch(logs[:half])
	f := newFSM(t)
	f.ApplyBatch(logs)
	before, sources := f.View(), f.Sources()
	defer before.Release()
	same := func(when string) {
		t.Helper()
		v := f.View()
		defer v.Release()
		if v.Index() != before.Index() || v.Hash() != before.Hash() || f.Clock() != before.Clock() || f.Applied() != uint64(len(logs)) || len(f.Sources()) != len(sources) {
			t.Errorf("%s: index %d, clock %d, applied %d; want %d, %d, %d", when, v.Index(), f.Clock(), f.Applied(), before.Index(), before.Clock(), len(logs))
		}
	}
	if err := f.Restore(io.NopCloser(bytes.NewReader(snapshotOf(t, old)))); err != nil {
		t.Fatal(err)
	}
	same("restored")
	for _, l := range logs[half:] {
		if r := f.ApplyBatch([]*raft.Log{l})[0].(Result); r.Index != l.Index || r.Counts.Changed != 0 {
			t.Errorf("entry %d again: %+v", l.Index, r)
		}
		same("entry applied again")
	}
	if !bytes.Equal(snapshotOf(t, f), snapshotOf(t, restore(t, snapshotOf(t, f)))) {
		t.Error("a snapshot of the state does not come back")
	}
}
