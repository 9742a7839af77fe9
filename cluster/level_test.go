package cluster_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
	"github.com/leasehold/leasehold/fsm"
)

// older is the state machine of a version that reads level 1 alone, and does not say so: it knows of no levels.
type older struct {
	*fsm.FSM
	t *testing.T
}

// MaxLevel is what a node's description says that does not have the field.
func (o older) MaxLevel() uint32 { return 0 }

// ApplyBatch applies entries. One that the version does not know would have stopped it.
func (o older) ApplyBatch(logs []*raft.Log) []any {
	for _, l := range logs {
		if l.Type == raft.LogCommand && fsm.Type(l.Data[3]) > fsm.TypeSettings {
			o.t.Errorf("entry %d is a %v, which an older version does not know", l.Index, fsm.Type(l.Data[3]))
		}
	}
	return o.FSM.ApplyBatch(logs)
}

// ageing is a cluster whose nodes are of the older version if their number is in old when they start.
type ageing struct {
	*clustertest.Cluster
	old   [8]atomic.Bool
	asked [8]atomic.Int64 // how often a node was asked to describe itself
}

func newAgeing(t *testing.T, old ...int) *ageing {
	t.Helper()
	c := &ageing{}
	for _, i := range old {
		c.old[i].Store(true)
	}
	c.Cluster = clustertest.New(t, clustertest.Options{Machine: func(m *clustertest.Member, sm *fsm.FSM) cluster.StateMachine {
		if c.old[m.Index].Load() {
			return older{sm, t}
		}
		return sm
	}})
	c.Intercept(func(m clustertest.Message) error {
		if m.Kind == clustertest.Describe && m.Reply {
			c.asked[m.From].Add(1)
		}
		return nil
	})
	return c
}

// requireLevel1 waits until the leader has had time to raise the level, and wants that it has not.
func (c *ageing) requireLevel1(t *testing.T, asks int) {
	t.Helper()
	before := c.asked[asks].Load()
	c.Until("the leader has asked again and again", func() bool {
		c.leadByNewer(t) // there may have been an election
		return c.asked[asks].Load() >= before+6
	})
	for _, m := range c.Members() {
		if m.Running() != nil && m.FSM().Level() != 1 {
			t.Errorf("node %d is at level %d", m.Index, m.FSM().Level())
		}
	}
}

// upgrade starts a node with the newer version.
func (c *ageing) upgrade(i int) {
	m := c.Member(i)
	m.Stop()
	c.old[i].Store(false)
	m.Start()
	c.WaitReady(m)
}

// leadByNewer makes a node of the newer version lead: one of the older never raises the level.
func (c *ageing) leadByNewer(t *testing.T) {
	t.Helper()
	c.Until("a newer version leads", func() bool {
		leader := c.Leader()
		if !c.old[leader.Index].Load() {
			return true
		}
		for i, m := range c.Members() {
			if !c.old[i].Load() && m.Running() != nil {
				_, _ = leader.Node().TransferLeadership(deadline(t), m.Node().ID()) // tried again
			}
		}
		return false
	})
}

func TestLevelIsRaisedWhenEveryMemberReadsIt(t *testing.T) {
	c := newAgeing(t, 2, 3)
	c.Add(func(c *cluster.Config) { c.BootstrapExpect, c.NonVoter = 0, true })
	c.WaitReady(c.Member(3))
	c.leadByNewer(t)
	putLease(t, c.Cluster, 1, 0, 10)
	c.requireLevel1(t, 2)
	// A voter that is down may come back as it was.
	c.Member(2).Stop()
	c.requireLevel1(t, 3)
	c.old[2].Store(false)
	c.Member(2).Start()
	c.WaitReady(c.Member(2))
	// Now all voters read it. The non-voter must, too.
	c.requireLevel1(t, 3)
	// Going back is allowed until the level is raised, and joining.
	c.old[2].Store(true)
	c.Member(2).Restart()
	c.WaitReady(c.Member(2))
	c.leadByNewer(t)
	putLease(t, c.Cluster, 2, 10, 10)
	c.requireLevel1(t, 3)
	c.upgrade(3)
	c.requireLevel1(t, 2)
	c.upgrade(2)
	for _, m := range c.Members() {
		c.Until("every node is at the highest level", func() bool { return m.FSM().Level() == fsm.MaxLevel })
	}
	putLease(t, c.Cluster, 3, 20, 10)
	c.Until("checkpoints are agreed on", func() bool {
		want, _ := c.Leader().FSM().Checkpoint()
		return want.Index > 0 && !slices.ContainsFunc(c.Members(), func(m *clustertest.Member) bool {
			got, _ := m.FSM().Checkpoint()
			return got != want
		})
	})
	c.RequireSameState()
	c.requireOlderIsRefused(t)
}

// requireOlderIsRefused wants the leader not to admit a node that cannot read the log.
func (c *ageing) requireOlderIsRefused(t *testing.T) {
	t.Helper()
	var joins atomic.Int64
	c.Intercept(func(m clustertest.Message) error {
		if m.Kind == clustertest.Join && m.From == 4 && m.Reply == false {
			joins.Add(1)
		}
		return nil
	})
	c.old[4].Store(true)
	old := c.Add(func(c *cluster.Config) { c.BootstrapExpect = 0 })
	c.Until("the older node has asked to join", func() bool { return joins.Load() >= 4 })
	r := cluster.JoinRequest{ID: old.Node().ID(), Name: "node-4", RaftAddress: old.RaftAddress(), GRPCAddress: old.GRPCAddress()}
	err := atLeader(t, c.Cluster, func(n *cluster.Node) error {
		_, err := n.Join(deadline(t), r)
		return err
	})
	if !errors.Is(err, cluster.ErrTooOld) || !strings.Contains(err.Error(), fmt.Sprintf("levels up to 1, the cluster is at level %d", fsm.MaxLevel)) {
		t.Errorf("join of an older version: %v", err)
	}
	if n := len(c.Leader().Node().Members()); n != 4 {
		t.Errorf("%d members, want 4", n)
	}
	c.upgrade(4)
	c.Until("the newer version is a member", func() bool { return len(c.Leader().Node().Members()) == 5 })
}

// fromTheFuture reads every snapshot as if a later version had written it.
type fromTheFuture struct{ *fsm.FSM }

// Restore changes the version in the header.
func (f fromTheFuture) Restore(from io.ReadCloser) error {
	defer from.Close()
	octets, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	octets[9] = 99
	return f.FSM.Restore(io.NopCloser(bytes.NewReader(octets)))
}

func TestSnapshotOfALaterVersionIsNoDamage(t *testing.T) {
	var future atomic.Bool
	c := clustertest.New(t, clustertest.Options{Voters: 1, Machine: func(_ *clustertest.Member, sm *fsm.FSM) cluster.StateMachine {
		if future.Load() {
			return fromTheFuture{sm}
		}
		return sm
	}, Config: func(_ int, c *cluster.Config) { c.SnapshotBytes = 1 }})
	m := c.Member(0)
	putLease(t, c, 1, 0, 10)
	c.Until("there is a snapshot", func() bool { return len(snapshots(t, m)) > 0 })
	m.Stop()
	future.Store(true)
	m.Start()
	c.Until("the node has ended", func() bool { return m.Running() == nil })
	err := m.Err()
	if !errors.Is(err, fsm.ErrVersion) || !strings.Contains(err.Error(), m.Dir) || !strings.Contains(err.Error(), "run the newer version") || strings.Contains(err.Error(), "empty") {
		t.Errorf("ended with %v", err)
	}
	future.Store(false)
	m.Start()
	c.WaitReady(m)
}
