package fsm

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/fsm/binding"
)

// update writes the files of testdata anew. That is right only while the version that they belong to was not released: after
// that a new format has a new version, and files of its own beside these.
var update = flag.Bool("update", false, "write golden files anew")

// goldenLog has every type of entry of version 1, and every event.
func goldenLog(t testing.TB) map[string]*raft.Log {
	b := newLog(t)
	s := Session{Source: "kea", Epoch: 0x0123456789abcdef}
	next := func() Session { s.Sequence++; return s }
	pd := upsert(3)
	pd.Binding.Kind, pd.Binding.Prefix = binding.PD, binding.Key{Prefix: address(0x30000), Delegated: true}.Prefix
	pd.AgeMS = -250
	ta := upsert(4)
	ta.Binding.Kind, ta.Binding.Chain, ta.Binding.LinkName, ta.Binding.Options = binding.TA, nil, nil, nil
	ta.Binding.Valid, ta.Binding.Preferred = binding.Infinity, binding.Infinity
	blanked := release(1)
	blanked.Reason, blanked.Binding.DUID, blanked.Binding.IAID = binding.Declined, nil, 0
	entries := map[string]*raft.Log{
		"1-settings": b.settings(testSettings),
		"2-changes":  b.changes(next(), defineLink("lan", "2001:db8:a::/48", "7", "8"), upsert(1), upsert(2), upsert(5), pd, ta),
	}
	b.clock += 1500
	entries["3-resync-begin"] = b.begin(next(), true)
	entries["4-changes"] = b.changes(next(), upsert(2), release(4), blanked, defineLink("dmz", "2001:db8:d::/64"),
		Change{Change: binding.Change{Event: binding.RemoveLink, Link: &binding.Link{Label: "dmz"}}})
	entries["5-resync-end"] = b.end(next())
	entries["6-tick"] = b.tick(1)
	return entries
}

var goldenNames = []string{"1-settings", "2-changes", "3-resync-begin", "4-changes", "5-resync-end", "6-tick"}

func golden(t *testing.T, version, name string, now []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", version, name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, now, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGoldenEntriesAndSnapshot(t *testing.T) {
	now := goldenLog(t)
	f := newFSM(t)
	for i, name := range goldenNames {
		data := golden(t, "v1", name+".entry", now[name].Data)
		if !bytes.Equal(data, now[name].Data) {
			t.Errorf("%s is written differently now:\n%x\nversion 1 is\n%x", name, now[name].Data, data)
		}
		if r := apply(t, f, &raft.Log{Index: uint64(i + 1), Term: 3, Type: raft.LogCommand, Data: data}); outcome(r) != "applied" {
			t.Errorf("%s: %s", name, outcome(r))
		}
	}
	if n := len(live(f)); n != 2 {
		t.Errorf("%d bindings in force, want the one that was stated again and one that is yet to be swept", n)
	}
	snapshot := golden(t, "v1", "snapshot", snapshotOf(t, f))
	if got := snapshotOf(t, f); !bytes.Equal(got, snapshot) {
		t.Errorf("the snapshot is written differently now, from octet %d on", firstDifference(got, snapshot))
	}
	g := restore(t, snapshot)
	if diff := cmp.Diff(f.Sources(), g.Sources()); diff != "" {
		t.Errorf("sources (-replayed +restored):\n%s", diff)
	}
	if diff := cmp.Diff(testSettings, g.Settings()); diff != "" {
		t.Errorf("settings (-want +restored):\n%s", diff)
	}
	v, w := f.View(), g.View()
	defer v.Release()
	defer w.Release()
	if v.Hash() != w.Hash() {
		t.Error("state hashes differ")
	}
	// What was under way goes on.
	for _, m := range []*FSM{f, g} {
		b := newLog(t)
		b.logs = make([]*raft.Log, len(goldenNames))
		b.clock += 2000
		for range 3 {
			apply(t, m, b.tick(100))
		}
		wantLive(t, m, 2)
	}
}

// TestGoldenOfLevel2 goes on from the snapshot of version 1 with what came with level 2.
func TestGoldenOfLevel2(t *testing.T) {
	old, err := os.ReadFile(filepath.Join("testdata", "v1", "snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	f := restore(t, old)
	if f.Level() != FirstLevel || !bytes.Equal(snapshotOf(t, f), old) {
		t.Errorf("level %d after a snapshot of version 1, want %d and the same octets again", f.Level(), FirstLevel)
	}
	b := newLog(t)
	b.clock += 3000
	b.logs = make([]*raft.Log, len(goldenNames))
	level := b.add(AppendLevel(nil, 2), nil)
	level.Data = golden(t, "v2", "7-level.entry", level.Data)
	apply(t, f, level)
	mark, _ := f.Checkpoint()
	checkpoint := b.add(AppendCheckpoint(nil, mark), nil)
	stored := golden(t, "v2", "8-checkpoint.entry", checkpoint.Data)
	if !bytes.Equal(stored, checkpoint.Data) {
		t.Errorf("the checkpoint is written differently now:\n%x\nlevel 2 is\n%x", checkpoint.Data, stored)
	}
	checkpoint.Data = stored
	apply(t, f, checkpoint)
	apply(t, f, b.tick(0))
	want := golden(t, "v2", "snapshot", snapshotOf(t, f))
	if got := snapshotOf(t, f); !bytes.Equal(got, want) {
		t.Errorf("the snapshot is written differently now, from octet %d on", firstDifference(got, want))
	}
	g := restore(t, want)
	if c, _ := g.Checkpoint(); c.Index != 8 || g.Level() != 2 || g.chain != f.chain || g.chain == c.Hash {
		t.Errorf("checkpoint %v, level %d, rolling hash %x after a restore, %x before", c, g.Level(), g.chain, f.chain)
	}
}

// TestGoldenOfLevel3 goes on from the snapshot of level 2 with what came with level 3.
func TestGoldenOfLevel3(t *testing.T) {
	old, err := os.ReadFile(filepath.Join("testdata", "v2", "snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	f := restore(t, old)
	if f.Level() != hashedLevel || !bytes.Equal(snapshotOf(t, f), old) {
		t.Errorf("level %d after a snapshot of level 2, want the same octets again", f.Level())
	}
	b := newLog(t)
	b.clock += 4000
	b.logs = make([]*raft.Log, f.Applied())
	level := b.add(AppendLevel(nil, 3), nil)
	level.Data = golden(t, "v3", "10-level.entry", level.Data)
	apply(t, f, level)
	b.clock += 3600_000
	if r := apply(t, f, b.tick(100)); r.Counts.Expired+r.Counts.Swept == 0 {
		t.Errorf("nothing ends: %+v", r.Counts)
	}
	want := golden(t, "v3", "snapshot", snapshotOf(t, f))
	if got := snapshotOf(t, f); !bytes.Equal(got, want) {
		t.Errorf("the snapshot is written differently now, from octet %d on", firstDifference(got, want))
	}
	if g := restore(t, want); g.Level() != 3 || !bytes.Equal(snapshotOf(t, g), want) {
		t.Errorf("level %d after a restore, want 3 and the same octets again", g.Level())
	}
}

// TestGoldenOfLevel4 goes on from the snapshot of level 3 with what came with level 4: what a sweep has ended, another source
// states again.
func TestGoldenOfLevel4(t *testing.T) {
	old, err := os.ReadFile(filepath.Join("testdata", "v3", "snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	f := restore(t, old)
	if f.Level() != lastLevel || !bytes.Equal(snapshotOf(t, f), old) {
		t.Errorf("level %d after a snapshot of level 3, want the same octets again", f.Level())
	}
	b := newLog(t)
	b.clock += 3700_000
	b.logs = make([]*raft.Log, f.Applied())
	level := b.add(AppendLevel(nil, 4), nil)
	level.Data = golden(t, "v4", "level.entry", level.Data)
	apply(t, f, level)
	s := Session{Source: "kea", Epoch: 4}
	next := func() Session { s.Sequence++; return s }
	apply(t, f, b.changes(next(), upsert(8)))
	apply(t, f, b.begin(next(), false))
	apply(t, f, b.end(next()))
	b.clock += 1000
	if r := apply(t, f, b.tick(100)); r.Counts.Swept != 1 {
		t.Errorf("the sweep: %+v", r.Counts)
	}
	again := upsert(8)
	again.AgeMS = 60_000
	if r := apply(t, f, b.changes(Session{Source: "other", Epoch: 1, Sequence: 1}, again)); r.Counts.Changed != 1 {
		t.Errorf("what was swept, stated by another source: %+v", r.Counts)
	}
	want := golden(t, "v4", "snapshot", snapshotOf(t, f))
	if got := snapshotOf(t, f); !bytes.Equal(got, want) {
		t.Errorf("the snapshot is written differently now, from octet %d on", firstDifference(got, want))
	}
	if g := restore(t, want); g.Level() != 4 || !bytes.Equal(snapshotOf(t, g), want) {
		t.Errorf("level %d after a restore, want 4 and the same octets again", g.Level())
	}
}
