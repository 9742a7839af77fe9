package cluster_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
)

// TestForcedSnapshots cuts a follower off again and again, for as long as it takes the others to drop the log that it lacks,
// while bindings are written all the time, also while it catches up. Nearly everything of the log is gone at once, so that
// another snapshot is often due before the last has been installed. It catches up each time, and ends with the others' state.
func TestForcedSnapshots(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Config: func(_ int, c *cluster.Config) {
		c.SnapshotThreshold, c.SnapshotInterval, c.TrailingLogs = 8, 20*time.Millisecond, 2
	}})
	var installs, alone atomic.Int64
	alone.Store(-1)
	c.Intercept(func(m clustertest.Message) error {
		if cut := int(alone.Load()); m.From == cut || m.To == cut {
			return clustertest.ErrDropped
		}
		if m.Kind == clustertest.InstallSnapshot && !m.Reply {
			installs.Add(1)
		}
		return nil
	})
	var seq uint64
	write := func() {
		seq++
		putLease(t, c, seq, int(seq)*20, 20)
	}
	const rounds = 8
	for range rounds {
		away := c.Followers()[0]
		alone.Store(int64(away.Index))
		behind, newest := away.FSM().Applied(), ""
		for range 2 { // snapshots
			fillUntilSnapshots(t, c, c.Leader(), &seq)
		}
		if all := snapshotDirs(t, c.Leader().Dir); len(all) > 0 {
			newest = all[0]
		}
		if order(newest)[1] <= behind+2 {
			t.Fatalf("the newest snapshot, %s, is not beyond entry %d", newest, behind)
		}
		alone.Store(-1)
		for want := c.Leader().FSM().Applied(); away.FSM().Applied() < want; {
			write()
		}
	}
	for _, m := range c.Members() {
		c.WaitReady(m)
	}
	c.RequireSameState()
	t.Logf("%d snapshots sent in %d rounds", installs.Load(), rounds)
	if installs.Load() < rounds {
		t.Errorf("%d snapshots sent in %d rounds: the follower was never forced to take one", installs.Load(), rounds)
	}
}
