package cluster_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
	"github.com/leasehold/leasehold/cluster/clustertest/history"
	"github.com/leasehold/leasehold/fsm/binding"
)

// chapter is how long faults go on before all is mended and everything is checked.
const chapter = 4 * time.Second

// chapters is how many chapters a cluster has. Here addresses change hands without end, and a state keeps the end of a binding
// as long as that was to live: a cluster that goes on for long is busy with those alone.
const chapters = 8

// TestRandomFaults lets clients write and read while faults are drawn by chance: partitions, one-way cuts, messages of a kind
// lost or late, leaders handed over, nodes killed, stopped and started, wall clocks that jump, snapshots installed, a non-voter
// added and removed. At the end of each chapter everything is mended. Then every history must be linearizable, nothing that
// was acknowledged may be lost, nothing may have expired early or not at all, and all nodes have one state hash.
func TestRandomFaults(t *testing.T) {
	seed := clustertest.Seed(t)
	for begin, n := time.Now(), uint64(0); time.Since(begin) < clustertest.SoakFor(t, 8*time.Second) && !t.Failed(); n += chapters {
		t.Run("cluster", func(t *testing.T) {
			l := newLaboratory(t, seed+n)
			for i := uint64(0); i < chapters && time.Since(begin) < clustertest.SoakFor(t, 8*time.Second) && !t.Failed(); i++ {
				l.chapter(seed + n + i)
			}
			t.Logf("%d batches acknowledged, %d given up, %d reads answered, %d refused, %d short leases",
				l.writes.Load(), l.lost.Load(), l.reads.Load(), l.refused.Load(), l.leases.Load())
		})
	}
}

func newLaboratory(t *testing.T, seed uint64) *laboratory {
	l := &laboratory{t: t, rng: rand.New(rand.NewPCG(seed, 1)), offsets: make([]atomic.Int64, 4), initial: make([]history.Versions, soakGroups)}
	l.c = clustertest.New(t, clustertest.Options{
		Wall: func(i int) time.Time { return time.Now().Add(time.Duration(l.offsets[i].Load())) },
		Config: func(_ int, c *cluster.Config) {
			c.MaxStaleness, c.ReadHold = 0, 500*time.Millisecond // every view proven
			c.CatchUp = 10 * time.Second                         // ends are kept no longer: here addresses change hands without end
			c.SnapshotBytes, c.SnapshotThreshold, c.SnapshotInterval, c.TrailingLogs = 64<<10, 100, 300*time.Millisecond, 8
		},
	})
	l.c.WaitReady(l.c.Add(func(c *cluster.Config) { c.NonVoter, c.BootstrapExpect = true, 0 }))
	return l
}

// chapter disturbs the cluster for a while under the clients' load, mends it and checks everything.
func (l *laboratory) chapter(seed uint64) {
	ctx, stop := context.WithCancel(l.t.Context())
	defer stop()
	clients := l.startClients(ctx, seed)
	l.disturb(time.Now().Add(chapter))
	l.mend()
	writes, reads := l.writes.Load()+100, l.reads.Load()+100
	l.c.Until("batches are acknowledged and reads answered again", func() bool { return l.writes.Load() >= writes && l.reads.Load() >= reads })
	stop()
	clients.running.Wait()
	l.c.RequireSameState()
	l.requireExpected(clients)
	if err := clients.record.Check(time.Minute); err != nil {
		l.t.Error(err)
	}
}

// mend undoes every fault and waits until all nodes are ready.
func (l *laboratory) mend() {
	l.c.Heal()
	for i := range l.offsets {
		l.offsets[i].Store(0)
	}
	for _, m := range l.c.Members() {
		if m.Running() == nil {
			m.Start()
		}
	}
	for _, m := range l.c.Members() {
		l.c.WaitReady(m)
	}
}

// requireExpected records a last read of everything on every node, which must be the same, waits until short leases have ended
// everywhere, and requires that nothing else is there and that cluster time is right.
func (l *laboratory) requireExpected(c *clients) {
	var want uint64
	for group := range soakGroups {
		for i, m := range l.c.Members() {
			call, ctx := c.record.Now(), deadline(l.t)
			v, err := m.Node().View(ctx)
			for errors.Is(err, cluster.ErrNotFresh) && ctx.Err() == nil { // another may have been elected just now
				call = c.record.Now()
				v, err = m.Node().View(ctx)
			}
			if err != nil {
				l.t.Fatalf("view of node %d: %v", m.Index, err)
			}
			saw, err := versionsIn(v, group, history.All(soakKeys))
			v.Release()
			if err != nil {
				l.t.Fatalf("node %d: %v", m.Index, err)
			}
			c.record.Saw(group, 100+m.Index, call, history.Read{Keys: history.All(soakKeys), Saw: saw})
			if i > 0 && saw != l.initial[group] {
				l.t.Errorf("group %d: node %d shows %v, another %v", group, m.Index, saw, l.initial[group])
			}
			l.initial[group] = saw
		}
		for _, version := range l.initial[group] {
			if version != 0 {
				want++
			}
		}
	}
	for _, m := range l.c.Members() {
		l.c.Until("short leases have ended, and nothing else has", func() bool { return bindings(l.t, m) == want })
		if off := m.Node().Now().Sub(binding.FromWall(time.Now())); off > time.Minute || off < -time.Minute {
			l.t.Errorf("cluster time is off by %v on node %d", off, m.Index)
		}
	}
}
