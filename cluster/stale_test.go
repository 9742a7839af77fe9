package cluster_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
	"github.com/leasehold/leasehold/cluster/raftlog"
)

// TestStaleLogBehindInstalledSnapshot cuts a leader off that has entries which nobody else gets, lets the others go on, and
// compact their logs, and heals the cut: the old leader is sent a snapshot that its log contradicts. It must follow, and its log
// must have nothing that the others' logs contradict: as a leader it would send that to others (hashicorp/raft#697).
func TestStaleLogBehindInstalledSnapshot(t *testing.T) {
	for name, stale := range map[string]int{"log longer than the snapshot": 1000, "log shorter than the snapshot": 30} {
		t.Run(name, func(t *testing.T) { testStaleLog(t, stale) })
	}
}

func testStaleLog(t *testing.T, stale int) {
	c := clustertest.New(t, clustertest.Options{Config: func(_ int, c *cluster.Config) {
		slowElections(0, c)
		c.SnapshotBytes, c.TrailingLogs, c.SnapshotInterval = 64<<10, 40, time.Hour
		c.MaxStaleness = time.Minute
	}})
	old, rest := c.Leader(), c.Followers()
	c.Partition([]int{old.Index}, []int{rest[0].Index, rest[1].Index})
	term, begin := old.Node().Term(), old.FSM().Applied()+10 // what was under way may have arrived
	for i := range stale {
		_, err := old.Node().Propose(deadline(t), lease(t, 7, uint64(i)+1, 100_000+i, 1, 3600))
		if errors.Is(err, cluster.ErrNotLeader) && i > 400 {
			break // its lease has run out, and the log is long enough
		}
		if err != nil {
			t.Fatalf("entry %d of the leader that is cut off: %v", i, err)
		}
	}
	leader := c.Leader(rest...)
	before := snapshotsOf(t, leader)()
	for i := uint64(1); snapshotsOf(t, leader)() == before || i < 120; i++ {
		putLease(t, c, i, int(i)*50, 50)
	}
	c.Heal()
	c.WaitReady(old)
	c.RequireSameState()
	old.Stop()
	leader.Stop()
	entries := logOf(t, leader)
	for index, l := range logOf(t, old) {
		if other, ok := entries[index]; (ok && other.Term != l.Term) || (!ok && l.Term == term && index >= begin) {
			t.Errorf("entry %d of the term that was cut off, %d, is still there", index, l.Term)
		}
	}
	old.Start()
	leader.Start()
	c.WaitReady(old)
	c.RequireSameState()
}

// logOf is the Raft log of a node that does not run.
func logOf(t *testing.T, m *clustertest.Member) map[uint64]raft.Log {
	t.Helper()
	log, err := raftlog.Open(filepath.Join(m.Dir, "raft.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	first, _ := log.FirstIndex()
	last, _ := log.LastIndex()
	out := map[uint64]raft.Log{}
	for i := first; i <= last && i > 0; i++ {
		var l raft.Log
		if err := log.GetLog(i, &l); err == nil {
			out[i] = l
		}
	}
	return out
}
