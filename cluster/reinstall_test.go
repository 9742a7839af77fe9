package cluster_test

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
)

// TestLostAnswerAfterSnapshot lets a follower get a snapshot and the entries behind it, and loses its answer to those. The
// leader sends them again, behind the snapshot's last entry, which the follower's log does not have. The follower must know
// that entry from the snapshot: else the leader goes back through its whole log, in vain, and sends the same snapshot, older now
// than the follower's state, again and again.
func TestLostAnswerAfterSnapshot(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Config: func(_ int, c *cluster.Config) {
		slowElections(0, c)
		c.SnapshotBytes, c.TrailingLogs, c.SnapshotInterval = 64<<10, 4, time.Hour
	}})
	away := c.Followers()[0]
	away.Kill()
	snapshots := snapshotsOf(t, c.Leader())
	for i := uint64(1); snapshots() == 0; i++ {
		putLease(t, c, i, int(i)*100, 100)
	}
	put(t, c, func() []byte { return lease(t, 2, 1, 0, 1, 3600) })
	var installs, lost atomic.Int64
	c.Intercept(func(m clustertest.Message) error {
		switch {
		case m.Kind == clustertest.InstallSnapshot && m.Reply:
			installs.Add(1)
		case m.Kind == clustertest.AppendEntries && m.Reply && m.From == away.Index && installs.Load() == 1 && lost.CompareAndSwap(0, 1):
			return clustertest.ErrDropped
		}
		return nil
	})
	away.Start()
	c.WaitReady(away)
	put(t, c, func() []byte { return lease(t, 2, 2, 1, 1, 3600) })
	c.RequireSameState()
	if installs.Load() != 1 || lost.Load() != 1 {
		t.Errorf("%d snapshots installed, %d answers lost, want one of each", installs.Load(), lost.Load())
	}
}

// snapshotsOf counts the snapshots that a node has.
func snapshotsOf(t *testing.T, m *clustertest.Member) func() int {
	return func() int {
		found, err := filepath.Glob(filepath.Join(m.Dir, "snapshots", "*", "state.bin"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
}
