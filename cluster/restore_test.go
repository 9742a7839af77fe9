package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
	"github.com/leasehold/leasehold/fsm"
	"github.com/leasehold/leasehold/fsm/binding"
)

// savedSnapshot takes a snapshot of a node.
func savedSnapshot(t testing.TB, m *clustertest.Member) []byte {
	t.Helper()
	r, err := m.Node().Snapshot(deadline(t), true)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

func restoration(m *clustertest.Member) cluster.Restoration {
	return cluster.Restoration{DataDir: m.Dir, Name: m.Node().Name(), RaftAddress: m.RaftAddress(), GRPCAddress: m.GRPCAddress()}
}

func restoreNode(t testing.TB, m *clustertest.Member, snapshot []byte) (cluster.Restored, error) {
	t.Helper()
	return cluster.Restore(deadline(t), restoration(m), bytes.NewReader(snapshot), slog.New(slog.DiscardHandler))
}

// newestClock is the newest closed time that any node knows: the newest base time that anybody can have been given.
func newestClock(c *clustertest.Cluster) (newest binding.Time) {
	for _, m := range c.Members() {
		newest = max(newest, m.FSM().Clock())
	}
	return newest
}

// requireSucceeded wants a node to go on behind everything that was known of the cluster up to a time: no base time of before is
// within its history, a reader that begins now is, and the feeder's epoch is not known.
func requireSucceeded(t testing.TB, c *clustertest.Cluster, m *clustertest.Member, before, since binding.Time) {
	t.Helper()
	v := m.Node().StaleView()
	defer v.Release()
	switch {
	case v.HistorySince() != since || since <= before || since%1000 != 0:
		t.Errorf("history since %d, told %d; base times up to %d were given away", v.HistorySince(), since, before)
	case v.Clock() < since:
		t.Errorf("clock %d runs behind the history, which begins at %d", v.Clock(), since)
	case v.Change() < binding.ChangesFrom(since):
		t.Errorf("a reader that begins now is behind the history: change %d, the history begins behind %d", v.Change(), binding.ChangesFrom(since))
	}
	if r := put(t, c, func() []byte { return lease(t, 1, 99, 7, 1, 3600) }); !r.UnknownEpoch {
		t.Errorf("a feeder of before: %+v, want its epoch to be unknown", r)
	}
}

// TestRestoredClusterIsTheSavedOne: a snapshot is saved on a follower, more is changed, all is lost. One node is restored, others join
// it empty: all have what was saved, under another cluster's id, and nobody takes anything from before for what it has.
func TestRestoredClusterIsTheSavedOne(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{})
	putLease(t, c, 1, 0, 100)
	follower := c.Followers()[0]
	saved := savedSnapshot(t, follower) // consistent: has what was just acknowledged by the leader
	putLease(t, c, 2, 50, 100)
	c.RequireSameState()
	clusterID, duid, term, before := follower.Node().ClusterID(), follower.Node().ServerDUID(), c.Leader().Node().Term(), newestClock(c)
	for _, m := range c.Members() {
		m.Kill()
		m.Wipe()
	}
	first := c.Member(0)
	r, err := restoreNode(t, first, saved)
	if err != nil {
		t.Fatal(err)
	}
	info, err := fsm.VerifySnapshot(bytes.NewReader(saved))
	if err != nil || info.ClusterID != clusterID || info.Index != r.Index || info.Clock != r.Saved || info.Size != uint64(len(saved)) || r.Level != info.Level {
		t.Errorf("saved %+v, %v; restored %+v", info, err, r)
	}
	if r.SavedCluster != clusterID || r.ClusterID == clusterID || r.Bindings != 100 || len(r.Members) != 1 || r.Members[0].ID != r.NodeID {
		t.Errorf("restored %+v of cluster %s", r, clusterID)
	}
	first.Start()
	c.WaitReady(first)
	requireSucceeded(t, c, first, before, r.HistorySince)
	if n := first.Node(); n.ID() != r.NodeID || n.ClusterID() != r.ClusterID || !bytes.Equal(n.ServerDUID(), duid) || n.Term() <= info.Term {
		t.Errorf("node %s of cluster %s in term %d, DUID %x; want %s of %s, DUID %x, a term behind %d (the old one was in %d)", n.ID(), n.ClusterID(), n.Term(),
			n.ServerDUID(), r.NodeID, r.ClusterID, duid, info.Term, term)
	}
	for _, m := range c.Members()[1:] {
		m.Start()
		c.WaitReady(m)
	}
	c.Until("all have a vote", func() bool {
		all := c.Leader().Node().Members()
		return len(all) == 3 && !slices.ContainsFunc(all, func(m cluster.Member) bool { return !m.Voter })
	})
	c.RequireSameState()
	for _, m := range c.Members() {
		if got := bindings(t, m); got != 100 {
			t.Errorf("node %d has %d bindings, want 100", m.Index, got)
		}
	}
	if r := put(t, c, func() []byte { return lease(t, 2, 1, 100, 50, 3600) }); r.Counts.Changed != 50 {
		t.Errorf("the feeder begins anew: %+v", r)
	}
	first.Restart() // what was restored is on its disk like everything
	c.WaitReady(first)
	c.RequireSameState()
}

func TestRestoreRefusesWhatIsDamaged(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Voters: 1})
	putLease(t, c, 1, 0, 100)
	m := c.Member(0)
	saved := savedSnapshot(t, m)
	m.Kill()
	m.Wipe()
	flipped := func(at int) []byte {
		b := bytes.Clone(saved)
		b[at] ^= 0x10
		return b
	}
	for _, tc := range []struct {
		name  string
		file  []byte
		says  string
		wraps error
	}{
		{"nothing", nil, "header", fsm.ErrCorrupt},
		{"something else", bytes.Repeat([]byte("no snapshot. "), 100), "magic", fsm.ErrCorrupt},
		{"cut in the header", saved[:30], "cut short", fsm.ErrCorrupt},
		{"cut in half", saved[:len(saved)/2], "cut short", fsm.ErrCorrupt},
		{"without its last octet", saved[:len(saved)-1], "cut short", fsm.ErrCorrupt},
		{"an octet too many", append(bytes.Clone(saved), 0), "octets follow", fsm.ErrCorrupt},
		{"a bit of the version", flipped(8), "version", fsm.ErrVersion},
		{"a bit of the header", flipped(20), "checksum", fsm.ErrCorrupt},
		{"a bit of the state", flipped(len(saved) / 2), "block", fsm.ErrCorrupt},
		{"a bit of the end", flipped(len(saved) - 3), "block", fsm.ErrCorrupt},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := restoreNode(t, m, tc.file)
			if !errors.Is(err, tc.wraps) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("restored: %v; want %v that says %q", err, tc.wraps, tc.says)
			}
			requireEmpty(t, m.Dir)
		})
	}
	if _, err := restoreNode(t, m, saved); err != nil {
		t.Errorf("restore the whole one: %v", err)
	}
	m.Start()
	c.WaitReady(m)
}

// requireEmpty wants nothing to be left in a directory.
func requireEmpty(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if len(entries) > 0 || err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left in the data directory: %v, %v", entries, err)
	}
}

// brokenReader fails in the midst of what it reads.
type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }

func TestRestoreRefusesOtherwise(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Voters: 1})
	putLease(t, c, 1, 0, 100)
	m := c.Member(0)
	saved := savedSnapshot(t, m)
	if _, err := restoreNode(t, m, saved); !errors.Is(err, cluster.ErrInvalid) || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("restore over a node that runs: %v", err)
	}
	m.Kill()
	i, err := cluster.Inspect(m.Dir, slog.New(slog.DiscardHandler))
	if err != nil || i.NodeID != m.Node().ID() {
		t.Errorf("the node after a restoration that was refused: %+v, %v", i, err)
	}
	m.Wipe()
	quiet := slog.New(slog.DiscardHandler)
	r := restoration(m)
	for name, change := range map[string]func(*cluster.Restoration){
		"no address": func(r *cluster.Restoration) { r.RaftAddress = "nowhere" },
		"a name that is too long": func(r *cluster.Restoration) {
			r.Name = strings.Repeat("x", 65)
		},
	} {
		bad := r
		change(&bad)
		if _, err := cluster.Restore(deadline(t), bad, bytes.NewReader(saved), quiet); !errors.Is(err, cluster.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := errors.New("cable pulled")
	if _, err := cluster.Restore(deadline(t), r, io.MultiReader(bytes.NewReader(saved[:200]), brokenReader{broken}), quiet); !errors.Is(err, broken) {
		t.Errorf("a reader that fails: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := cluster.Restore(ctx, r, bytes.NewReader(saved), quiet); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v", err)
	}
	requireEmpty(t, m.Dir)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	bad := r
	bad.DataDir = filepath.Join(file, "below")
	if _, err := cluster.Restore(deadline(t), bad, bytes.NewReader(saved), quiet); err == nil {
		t.Error("restored below a file")
	}
}

// TestClockOfRestoredClusterNeverGoesBack: the saved state's clock runs ahead of every wall clock. The history begins behind it.
func TestClockOfRestoredClusterNeverGoesBack(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Voters: 1, Deps: func(_ *clustertest.Member, d *cluster.Deps) {
		d.Wall = func() time.Time { return time.Now().Add(time.Hour) }
	}})
	putLease(t, c, 1, 0, 10)
	m := c.Member(0)
	saved := savedSnapshot(t, m)
	before := newestClock(c)
	if ahead := before.Sub(binding.FromWall(time.Now())); ahead < 50*time.Minute {
		t.Fatalf("the cluster's clock is ahead by %v", ahead)
	}
	m.Kill()
	m.Wipe()
	r, err := restoreNode(t, m, saved)
	if err != nil {
		t.Fatal(err)
	}
	if r.HistorySince <= r.Saved {
		t.Errorf("history since %d, saved at %d", r.HistorySince, r.Saved)
	}
	m.Start()
	c.WaitReady(m)
	requireSucceeded(t, c, m, r.Saved, r.HistorySince)
}
