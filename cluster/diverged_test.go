package cluster_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
	"github.com/leasehold/leasehold/fsm"
	"github.com/leasehold/leasehold/fsm/binding"
)

// meddled is a state machine that, when told to, applies one entry otherwise than the log has it.
type meddled struct {
	*fsm.FSM
	meddle atomic.Pointer[func(*raft.Log) *raft.Log] // nil for an entry that is left out
}

// ApplyBatch applies entries, the next batch of changes as it is told.
func (m *meddled) ApplyBatch(logs []*raft.Log) []any {
	var apply []*raft.Log
	left := -1
	for i, l := range logs {
		if l.Type == raft.LogCommand && fsm.Type(l.Data[3]) == fsm.TypeChanges {
			if meddle := m.meddle.Swap(nil); meddle != nil {
				if l = (*meddle)(l); l == nil {
					left = i
					continue
				}
			}
		}
		apply = append(apply, l)
	}
	out := m.FSM.ApplyBatch(apply)
	if left >= 0 {
		out = slices.Insert(out, left, any(fsm.Result{Index: logs[left].Index, Clock: m.Clock()}))
	}
	return out
}

// meddlers starts a cluster of meddled state machines and waits until its entries are hashed.
func meddlers(t *testing.T) (*clustertest.Cluster, func(*clustertest.Member) *meddled) {
	t.Helper()
	var machines sync.Map
	c := clustertest.New(t, clustertest.Options{Machine: func(m *clustertest.Member, sm *fsm.FSM) cluster.StateMachine {
		x := &meddled{FSM: sm}
		machines.Store(m.Index, x)
		return x
	}})
	for _, m := range c.Members() {
		c.Until("entries are hashed", func() bool { return m.FSM().Level() == fsm.MaxLevel })
	}
	return c, func(m *clustertest.Member) *meddled {
		x, _ := machines.Load(m.Index)
		return x.(*meddled)
	}
}

func leaveOut(*raft.Log) *raft.Log { return nil }

// changeOctet changes an octet of a binding, as bad memory does, under a checksum that fits.
func changeOctet(t *testing.T) func(*raft.Log) *raft.Log {
	return func(l *raft.Log) *raft.Log {
		wrong := *l
		wrong.Data = bytes.Clone(l.Data)
		at := bytes.Index(wrong.Data, []byte{0, 3, 0, 1}) // a DUID
		if at < 0 {
			t.Error("no DUID in the entry")
		}
		wrong.Data[at+7] ^= 0x40
		fsm.Seal(wrong.Data, binding.Time(binary.BigEndian.Uint64(l.Data[8:])))
		return &wrong
	}
}

func TestNodeThatDivergedTakesItselfOut(t *testing.T) {
	for name, tc := range map[string]struct {
		leader bool
		meddle func(*raft.Log) *raft.Log
	}{
		"a follower leaves an entry out":  {false, leaveOut},
		"a follower has an octet changed": {false, changeOctet(t)},
		"the leader leaves an entry out":  {true, leaveOut},
		"the leader has an octet changed": {true, changeOctet(t)},
	} {
		t.Run(name, func(t *testing.T) {
			c, machine := meddlers(t)
			batches := uint64(0)
			put := func() { // each of an epoch of its own: a leader that has diverged knows others
				batches++
				put(t, c, func() []byte { return lease(t, batches, 1, int(batches)*10, 10, 3600) })
			}
			put()
			victim := c.Leader()
			if !tc.leader {
				victim = c.Followers()[0]
			}
			others := slices.DeleteFunc(c.Members(), func(m *clustertest.Member) bool { return m == victim })
			stop := watchAnswers(t, victim, others)
			machine(victim).meddle.Store(&tc.meddle)
			c.Until("the victim has taken itself out", func() bool {
				put()
				return victim.Running() == nil
			})
			requireTakenOut(t, victim)
			put()
			stop()
			c.RequireSameState()
			for _, m := range others {
				if m.Running() == nil || m.Err() != nil {
					t.Errorf("node %d has ended: %v", m.Index, m.Err())
				}
			}
			old := victim.Node().ID()
			victim.Wipe()
			victim.Start()
			c.WaitReady(victim)
			c.Until("it has a vote again, under a new id", func() bool {
				members := c.Leader().Node().Members()
				return len(members) == 3 && !slices.ContainsFunc(members, func(m cluster.Member) bool { return m.ID == old || !m.Voter })
			})
			put()
			c.RequireSameState()
		})
	}
}

// watchAnswers asks the others all the time, which must answer, and the victim, which must not once it knows.
func watchAnswers(t *testing.T, victim *clustertest.Member, others []*clustertest.Member) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(deadline(t))
	var asking sync.WaitGroup
	var answers, refusals atomic.Int64
	for _, m := range others {
		asking.Go(func() {
			for ctx.Err() == nil {
				v, err := m.Node().View(ctx)
				if err == nil {
					answers.Add(1)
					v.Release()
				} else if ctx.Err() == nil {
					t.Errorf("node %d does not answer: %v", m.Index, err)
				}
			}
		})
	}
	node := victim.Node()
	asking.Go(func() {
		for ctx.Err() == nil {
			knew := slices.ContainsFunc(node.Reasons(), func(r string) bool { return strings.HasPrefix(r, "diverged: ") })
			v, err := node.View(ctx)
			switch {
			case err == nil && knew:
				t.Error("the victim answered when it knew that it had diverged")
				v.Release()
			case err == nil:
				v.Release()
			case errors.Is(err, fsm.ErrDiverged):
				refusals.Add(1)
			}
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		asking.Wait()
		if answers.Load() == 0 || refusals.Load() == 0 {
			t.Errorf("%d answers of the others, %d refusals of the victim", answers.Load(), refusals.Load())
		}
	})
	t.Cleanup(stop)
	return stop
}

// requireTakenOut wants a node to have ended for having diverged, to say so, and not to start again.
func requireTakenOut(t *testing.T, m *clustertest.Member) {
	t.Helper()
	var diverged *fsm.DivergedError
	if err := m.Err(); !errors.As(err, &diverged) || diverged.Agreed.Index == 0 || diverged.Own == diverged.Agreed || !strings.Contains(err.Error(), m.Dir) {
		t.Errorf("ended with %v", err)
	}
	if r := m.Node().Reasons(); len(r) == 0 || !strings.HasPrefix(r[0], "diverged: ") {
		t.Errorf("reasons %q", r)
	}
	if _, err := m.Node().View(deadline(t)); !errors.Is(err, fsm.ErrDiverged) {
		t.Errorf("view: %v", err)
	}
	if age, ok := m.Node().Fresh(); ok {
		t.Errorf("it calls itself fresh, by a proof of %v ago", age)
	}
	if _, err := m.Node().ServeReadIndex(deadline(t), ""); err == nil {
		t.Error("it gives read indexes")
	}
	if _, err := m.Node().Propose(deadline(t), fsm.AppendTick(nil, 1)); !errors.Is(err, cluster.ErrNotLeader) {
		t.Errorf("propose: %v", err)
	}
	before := snapshots(t, m)
	err := m.TryStart()
	if !errors.Is(err, fsm.ErrDiverged) || !strings.Contains(err.Error(), m.Dir) || !strings.Contains(err.Error(), "empty") || !strings.Contains(err.Error(), "log entry") {
		t.Errorf("started again: %v", err)
	}
	if after := snapshots(t, m); !slices.Equal(before, after) {
		t.Errorf("snapshots %v, were %v", after, before)
	}
}

func snapshots(t *testing.T, m *clustertest.Member) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(m.Dir, "snapshots"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".tmp") {
			names = append(names, e.Name())
		}
	}
	return names
}
