package fsm

import (
	"bytes"
	"testing"

	"github.com/hashicorp/raft"
)

func TestTickDoesWhatIsDueUpToItsLimit(t *testing.T) {
	b, f := newLog(t), newFSM(t)
	var changes []Change
	for n := range 10 {
		c := upsert(n)
		c.Binding.Valid = 60
		changes = append(changes, c)
	}
	apply(t, f, b.changes(Session{Source: "kea", Epoch: 1, Sequence: 1}, changes...))
	if r := apply(t, f, b.tick(100)); r.Counts.Expired != 0 || r.More || f.MaintenanceDue() {
		t.Errorf("before anything is due: %+v, due %v", r, f.MaintenanceDue())
	}
	b.clock += 60_000
	if r := apply(t, f, b.tick(0)); r.Counts.Expired != 0 || f.Clock() != b.clock || !f.MaintenanceDue() {
		t.Errorf("a tick that only tells the time: %+v, due %v", r, f.MaintenanceDue())
	}
	left := 10
	for more := true; more; {
		r := apply(t, f, b.tick(3))
		if left -= int(r.Counts.Expired); r.Counts.Expired > 3 || r.More != (left > 0) || f.MaintenanceDue() != r.More {
			t.Fatalf("%d left, due %v: %+v", left, f.MaintenanceDue(), r)
		}
		more = r.More
	}
	if left != 0 {
		t.Errorf("%d left", left)
	}
	wantLive(t, f)
}

func TestMaintenanceIsDueAfterARestore(t *testing.T) {
	b, f := newLog(t), newFSM(t)
	apply(t, f, b.tick(5))
	if f.MaintenanceDue() {
		t.Error("due right after a tick")
	}
	if !restore(t, snapshotOf(t, f)).MaintenanceDue() {
		t.Error("not due after a restore, when nothing is known of what was done")
	}
}

func TestBatchAnswersEveryEntry(t *testing.T) {
	b, f := newLog(t), newFSM(t)
	b.changes(Session{Source: "kea", Epoch: 1, Sequence: 1}, upsert(1))
	b.put(raft.LogConfiguration, []byte("members"))
	b.put(raft.LogNoop, nil)
	b.tick(1)
	b.put(raft.LogConfiguration, bytes.Repeat([]byte{1}, 100))
	out := f.ApplyBatch(b.logs)
	if len(out) != len(b.logs) {
		t.Fatalf("%d answers to %d entries", len(out), len(b.logs))
	}
	for i, r := range out {
		if r, ok := r.(Result); !ok || r.Index != uint64(i+1) || r.Clock != start || r.Err != nil {
			t.Errorf("answer to entry %d: %+v", i+1, r)
		}
	}
	if v := f.View(); v.Index() != 5 || f.Applied() != 5 {
		t.Errorf("view at %d, applied %d", v.Index(), f.Applied())
	}
	if got := f.ApplyBatch(nil); len(got) != 0 {
		t.Errorf("answers to no entries: %v", got)
	}
}
