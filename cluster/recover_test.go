package cluster_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
	"github.com/leasehold/leasehold/fsm"
)

func recovery(m *clustertest.Member, lost ...string) cluster.Recovery {
	return cluster.Recovery{DataDir: m.Dir, Name: m.Node().Name(), RaftAddress: m.RaftAddress(), GRPCAddress: m.GRPCAddress(), Lost: lost}
}

func recoverNode(t testing.TB, m *clustertest.Member, lost ...string) (cluster.Recovered, error) {
	t.Helper()
	return cluster.Recover(deadline(t), recovery(m, lost...), slog.New(slog.DiscardHandler))
}

// TestRecoveredClusterIsNotDisturbedByTheLost: one of five goes on. Then the four others, a majority of the cluster that was, all
// come back with their old logs: each finds out that it was left behind and ends, and the recovered cluster notices nothing.
func TestRecoveredClusterIsNotDisturbedByTheLost(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Voters: 5})
	putLease(t, c, 1, 0, 100)
	c.RequireSameState()
	survivor, lost := c.Member(0), c.Members()[1:]
	clusterID, oldID, before := survivor.Node().ClusterID(), survivor.Node().ID(), newestClock(c)
	for _, m := range c.Members() {
		m.Kill()
	}
	r, err := recoverNode(t, survivor, "node-1", "node-2", "node-3", "node-4")
	if err != nil {
		t.Fatal(err)
	}
	if r.OldID != oldID || r.NewID == oldID || len(r.Members) != 1 || r.Members[0].ID != r.NewID {
		t.Errorf("recovered %+v, was %s", r, oldID)
	}
	for _, name := range []string{"identity.json", "raft.db"} {
		if _, err := os.Stat(filepath.Join(r.Backup, name)); err != nil {
			t.Errorf("copy of %s: %v", name, err)
		}
	}
	survivor.Start()
	c.WaitReady(survivor)
	requireSucceeded(t, c, survivor, before, r.HistorySince)
	if r := put(t, c, func() []byte { return lease(t, 2, 1, 100, 50, 3600) }); r.Counts.Changed != 50 {
		t.Errorf("the feeder's new epoch: %+v", r)
	}
	if got := bindings(t, survivor); got != 150 {
		t.Errorf("%d bindings, want 150", got)
	}
	term := survivor.Node().Term()
	for _, m := range lost {
		m.Start()
	}
	for _, m := range lost {
		c.Until(fmt.Sprintf("node %d, of before the recovery, ends", m.Index), func() bool { return m.Err() != nil })
		if err := m.Err(); !errors.Is(err, cluster.ErrRemoved) || !strings.Contains(err.Error(), m.Dir) {
			t.Errorf("node %d ended with %v", m.Index, err)
		}
		m.Stop()
	}
	if r := put(t, c, func() []byte { return lease(t, 2, 2, 150, 10, 3600) }); r.Counts.Changed != 10 {
		t.Errorf("the feeder goes on: %+v", r)
	}
	if survivor.Node().Term() != term || !survivor.Node().IsLeader() {
		t.Errorf("term %d of the recovered leader came to be %d", term, survivor.Node().Term())
	}
	for _, m := range lost {
		m.Wipe()
		m.Start()
		c.WaitReady(m)
	}
	c.Until("the cluster has five voters", func() bool {
		return !slices.ContainsFunc(c.Leader().Node().Members(), func(m cluster.Member) bool { return !m.Voter }) && len(c.Leader().Node().Members()) == 5
	})
	c.RequireSameState()
	if id := c.Member(4).Node().ClusterID(); id != clusterID {
		t.Errorf("cluster %s came to be %s", clusterID, id)
	}
}

// TestUncommittedTailIsCommittedByRecovery: an entry that only the survivor has, and that no quorum acknowledged, is in the
// recovered cluster, on every node.
func TestUncommittedTailIsCommittedByRecovery(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Config: slowElections}) // time enough to propose when the leader is cut off
	putLease(t, c, 1, 0, 100)
	c.RequireSameState()
	leader, lost := c.Leader(), c.Followers()
	for _, m := range lost { // what the leader writes from now on reaches nobody
		c.Cut(leader.Index, m.Index)
	}
	p, err := leader.Node().Propose(deadline(t), lease(t, 1, 2, 100, 7, 3600))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(deadline(t)); !errors.Is(err, cluster.ErrUnknown) {
		t.Fatalf("a proposal without a quorum came to %v", err)
	}
	for _, m := range c.Members() {
		m.Kill()
	}
	c.Heal()
	i, err := cluster.Inspect(leader.Dir, slog.New(slog.DiscardHandler))
	if err != nil || i.NodeID != leader.Node().ID() || len(i.Members) != 3 {
		t.Fatalf("inspect: %+v, %v", i, err)
	}
	r, err := recoverNode(t, leader, lost[0].Node().Name(), lost[1].Node().Name())
	if err != nil || r.LastIndex != i.LastIndex {
		t.Fatalf("recover at %d, inspected %d: %v", r.LastIndex, i.LastIndex, err)
	}
	leader.Start()
	for _, m := range lost {
		m.Wipe()
		m.Start()
	}
	for _, m := range c.Members() {
		c.WaitReady(m)
	}
	c.RequireSameState()
	if got := bindings(t, lost[0]); got != 107 {
		t.Errorf("%d bindings, want 107", got)
	}
}

func TestRecoveryRefuses(t *testing.T) {
	var peers cluster.Peers // of node 1
	c := clustertest.New(t, clustertest.Options{Deps: func(m *clustertest.Member, d *cluster.Deps) {
		if m.Index == 1 {
			peers = d.Peers
		}
	}})
	m := c.Member(0)
	if _, err := recoverNode(t, m, "node-1", "node-2"); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("recover a running node: %v", err)
	}
	if _, err := cluster.Inspect(t.TempDir(), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("inspected an empty directory")
	}
	m.Kill()
	r := recovery(m, "node-1", "node-2")
	r.Peers = peers
	if _, err := cluster.Recover(deadline(t), r, slog.New(slog.DiscardHandler)); !errors.Is(err, cluster.ErrInvalid) || !strings.Contains(err.Error(), "answers at") {
		t.Errorf("recover without members that answer: %v", err)
	}
	for _, tc := range []struct {
		name string
		lost []string
		says string
	}{
		{"this node itself", []string{"node-0", "node-1", "node-2"}, "is this node"},
		{"one is not named", []string{"node-1"}, "node-2"},
		{"nobody of that name", []string{"node-1", "node-2", "node-9"}, "node-9"},
	} {
		if _, err := recoverNode(t, m, tc.lost...); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	diverged := filepath.Join(m.Dir, "diverged.txt")
	if err := os.WriteFile(diverged, []byte("for the test"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := recoverNode(t, m, "node-1", "node-2"); !errors.Is(err, fsm.ErrDiverged) {
		t.Errorf("recover from a state that is wrong: %v", err)
	}
	if i, err := cluster.Inspect(m.Dir, slog.New(slog.DiscardHandler)); err != nil || !i.Diverged {
		t.Errorf("inspect a state that is wrong: %+v, %v", i, err)
	}
	if err := os.Remove(diverged); err != nil {
		t.Fatal(err)
	}
	m.Start()
	c.WaitReady(m) // nothing was changed
	if got := len(c.Leader().Node().Members()); got != 3 {
		t.Errorf("%d members", got)
	}
}

// TestBrokenOffRecovery: a node whose recovery was broken off does not start, and the next call ends it.
func TestBrokenOffRecovery(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{})
	putLease(t, c, 1, 0, 10)
	c.RequireSameState()
	for _, m := range c.Members() {
		m.Kill()
	}
	m := c.Member(0)
	cluster.BreakOffRecovery(t, recovery(m, "node-1", "node-2"))
	if err := m.TryStart(); err == nil || !strings.Contains(err.Error(), "leasehold recover") {
		t.Fatalf("start: %v", err)
	}
	r, err := recoverNode(t, m)
	if err != nil {
		t.Fatal(err)
	}
	m.Start()
	c.WaitReady(m)
	if m.Node().ID() != r.NewID || bindings(t, m) != 10 {
		t.Errorf("node %s with %d bindings, want %s with 10", m.Node().ID(), bindings(t, m), r.NewID)
	}
}

// TestVoteFollowsConfiguration: a voter that is configured to have no vote gives it up, also when it leads; and takes it again.
func TestVoteFollowsConfiguration(t *testing.T) {
	var silent atomic.Bool
	c := clustertest.New(t, clustertest.Options{Config: func(i int, c *cluster.Config) { c.NonVoter = i == 2 && silent.Load() }})
	m := c.Member(2)
	voters := func() (n int) {
		for _, m := range c.Leader().Node().Members() {
			if m.Voter {
				n++
			}
		}
		return n
	}
	silent.Store(true)
	m.Stop()
	m.Start()
	c.Until("there are two voters", func() bool { return voters() == 2 })
	c.WaitReady(m)
	c.Until("it says so itself", func() bool { return m.Node().State() == "non-voter" })
	silent.Store(false)
	m.Stop()
	m.Start()
	c.Until("there are three voters", func() bool { return voters() == 3 })
	c.Until("a leader that is to have no vote hands over, and another leads", func() bool { // a handover has an election timeout's time
		leader := c.Leader()
		j := cluster.JoinRequest{ID: leader.Node().ID(), Name: leader.Node().Name(), RaftAddress: leader.RaftAddress(), GRPCAddress: leader.GRPCAddress(), MaxLevel: fsm.MaxLevel}
		_, err := leader.Node().Join(deadline(t), j)
		if err == nil {
			t.Fatal("a leader gave up its vote before it handed over")
		}
		return errors.Is(err, cluster.ErrNotLeader) && c.Leader() != leader
	})
	c.RequireSameState()
}

// TestRemovalThatWouldLoseTheQuorumIsRefused: with one of three dead, the dead one can be removed and no other.
func TestRemovalThatWouldLoseTheQuorumIsRefused(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{})
	dead, alive := c.Followers()[0], c.Followers()[1]
	dead.Kill()
	err := remove(t, c, alive.Node().Name())
	if !errors.Is(err, cluster.ErrQuorum) || !strings.Contains(err.Error(), dead.Node().Name()) {
		t.Errorf("remove a live one of two: %v", err)
	}
	if err := remove(t, c, dead.Node().Name()); err != nil {
		t.Errorf("remove the dead one: %v", err)
	}
}

// TestMemberThatHasJustComeBackCounts: whoever is not reached at first, as a node that was started a moment ago, is asked again before a
// removal is refused.
func TestMemberThatHasJustComeBackCounts(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{})
	back, gone := c.Followers()[0], c.Followers()[1]
	var missed atomic.Bool
	c.Intercept(func(m clustertest.Message) error {
		if m.Kind == clustertest.Describe && m.To == back.Index && !missed.Swap(true) {
			return clustertest.ErrDropped
		}
		return nil
	})
	if err := remove(t, c, gone.Node().Name()); err != nil || !missed.Load() {
		t.Errorf("remove a member: %v; %s was missed: %v", err, back.Node().Name(), missed.Load())
	}
}
