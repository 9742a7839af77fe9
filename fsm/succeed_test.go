package fsm

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/fsm/binding"
)

const otherCluster = "0193b3a4-7c1d-7e55-9a3c-2f4d1b6a8e91"

// TestSuccessorBeginsBehindEveryBaseTime: whatever the wall clock says, the history begins in a second behind it and behind the
// state's own clock, and so do the clock and the numbers of changes.
func TestSuccessorBeginsBehindEveryBaseTime(t *testing.T) {
	last := start + 5000 // of sample
	for _, tc := range []struct {
		name      string
		now, want binding.Time
	}{
		{"a wall clock far behind", 0, last + 1000},
		{"a wall clock of the same moment", last, last + 1000},
		{"the last millisecond of a second", last + 999, last + 1000},
		{"a whole second later", last + 1000, last + 2000},
		{"a day later", last + 86_400_123, last + 86_401_000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFSM(t)
			logs := sample(t)
			f.ApplyBatch(logs)
			s, err := f.Succeed(tc.now, "")
			if want := (Succession{Index: uint64(len(logs)), Term: 3, HistorySince: tc.want}); s != want || err != nil {
				t.Errorf("succession %+v, %v; want %+v", s, err, want)
			}
			g := restore(t, snapshotOf(t, f))
			v := g.View()
			defer v.Release()
			if v.HistorySince() != tc.want || v.Clock() != tc.want || g.Clock() != tc.want || v.Change() != binding.ChangesFrom(tc.want) {
				t.Errorf("history since %d, clock %d and %d, change %d; want all of %d", v.HistorySince(), v.Clock(), g.Clock(), v.Change(), tc.want)
			}
			if v.Len() != 2 || g.Settings().ClusterID != testSettings.ClusterID || g.Applied() != uint64(len(logs)) {
				t.Errorf("%d bindings of cluster %s at entry %d", v.Len(), g.Settings().ClusterID, g.Applied())
			}
			b := &builder{t: t, clock: start, logs: logs} // the next leader's clock is behind
			r := apply(t, g, b.changes(Session{Source: "new", Epoch: 5, Sequence: 1}, upsert(30)))
			w := g.View()
			defer w.Release()
			if r.Counts.Changed != 1 || r.Clock != tc.want || binding.ChangeTime(w.Change()) != tc.want {
				t.Errorf("the next change: %+v, numbered %d", r, w.Change())
			}
		})
	}
}

// TestSuccessorKnowsNoEpoch: what a feeder sends on is refused, what it begins anew is taken; what was known of the source stays.
func TestSuccessorKnowsNoEpoch(t *testing.T) {
	f := newFSM(t)
	logs := sample(t)
	f.ApplyBatch(logs)
	known := f.Sources()
	if _, err := f.Succeed(start, otherCluster); err != nil {
		t.Fatal(err)
	}
	g := restore(t, snapshotOf(t, f))
	if id := g.Settings().ClusterID; id != otherCluster || !bytes.Equal(g.Settings().ServerDUID, testSettings.ServerDUID) {
		t.Errorf("settings %+v", g.Settings())
	}
	for i, s := range g.Sources() {
		if len(s.Epochs) != 0 || s.Name != known[i].Name || s.Bindings != known[i].Bindings || s.LastBatch != known[i].LastBatch {
			t.Errorf("source %+v, was %+v", s, known[i])
		}
	}
	b := &builder{t: t, clock: start + 6000, logs: logs}
	for name, l := range map[string]*raft.Log{
		"the next of an epoch":       b.changes(Session{Source: "kea", Epoch: 7, Sequence: 4}, upsert(5)),
		"one that was lost":          b.changes(Session{Source: "kea", Epoch: 7, Sequence: 90}, upsert(5)),
		"the end of a resync begun":  b.end(Session{Source: "kea", Epoch: 7, Sequence: 4}),
		"one that was applied again": b.changes(Session{Source: "kea", Epoch: 7, Sequence: 2}, upsert(5)),
	} {
		if r := apply(t, restore(t, snapshotOf(t, f)), l); !r.UnknownEpoch || r.Duplicate || r.Expected != 0 {
			t.Errorf("%s: %+v, want an epoch that is not known", name, r)
		}
	}
	again := Session{Source: "kea", Epoch: 8}
	for i, l := range []func() *raft.Log{
		func() *raft.Log { return b.begin(again, true) },
		func() *raft.Log { return b.changes(again, upsert(1), upsert(3)) },
		func() *raft.Log { return b.end(again) },
	} {
		again.Sequence = uint64(i + 1)
		if r := apply(t, g, l()); r.UnknownEpoch || r.Superseded || r.Err != nil {
			t.Errorf("step %d of the resync: %+v", again.Sequence, r)
		}
	}
	for more := true; more; {
		b.clock += 1000
		more = apply(t, g, b.tick(100)).More
	}
	v := g.View()
	defer v.Release()
	if v.Len() != 3 { // 1 and 3 of kea, 9 of dnsmasq
		t.Errorf("%d bindings after the resync, want 3", v.Len())
	}
}

func TestSuccessorNeedsAnID(t *testing.T) {
	for _, id := range []string{"x", "0193B3A4-7C1D-7E55-9A3C-2F4D1B6A8E91", "00000000-0000-0000-0000-000000000000"} {
		f := newFSM(t)
		f.ApplyBatch(sample(t))
		before := snapshotOf(t, f)
		if _, err := f.Succeed(start, id); !errors.Is(err, binding.ErrInvalid) {
			t.Errorf("cluster id %q: %v", id, err)
		}
		if !bytes.Equal(snapshotOf(t, f), before) {
			t.Errorf("cluster id %q: refused, but something was changed", id)
		}
	}
}

// TestSuccessorStaysAtItsLevel: a snapshot of every version is saved, verified and taken over as it is: an older binary reads what becomes
// of it if it read the snapshot.
func TestSuccessorStaysAtItsLevel(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("testdata", "v*", "snapshot"))
	if err != nil || len(paths) < 2 {
		t.Fatalf("snapshots %v, %v", paths, err)
	}
	for _, path := range paths {
		old, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f := restore(t, old)
		if _, err := f.Succeed(start, otherCluster); err != nil {
			t.Fatal(err)
		}
		before, err := VerifySnapshot(bytes.NewReader(old))
		now, nerr := VerifySnapshot(bytes.NewReader(snapshotOf(t, f)))
		if err != nil || nerr != nil || now.Level != before.Level || now.Index != before.Index || now.Term != before.Term || now.ClusterID != otherCluster {
			t.Errorf("%s: %+v became %+v; %v, %v", path, before, now, err, nerr)
		}
		if g := restore(t, snapshotOf(t, f)); g.chain != f.chain || g.mark != f.mark || len(live(g)) != len(live(f)) {
			t.Errorf("%s: rolling hash %x at checkpoint %v came to be %x at %v", path, f.chain, f.mark, g.chain, g.mark)
		}
	}
}
