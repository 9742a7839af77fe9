package cluster_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
	"github.com/leasehold/leasehold/fsm"
)

// endlessMachine is a state machine whose snapshots take for ever, as those of a large state on a slow disk nearly do.
type endlessMachine struct {
	*fsm.FSM
	begun chan struct{}
}

// Snapshot is one that has no end.
func (m endlessMachine) Snapshot() (raft.FSMSnapshot, error) { return m, nil }

// Persist writes until it is not let.
func (m endlessMachine) Persist(sink raft.SnapshotSink) error {
	select {
	case m.begun <- struct{}{}:
	default:
	}
	for {
		if _, err := sink.Write(make([]byte, 1)); err != nil {
			return err
		}
	}
}

// Release does nothing.
func (m endlessMachine) Release() {}

// TestStopBreaksASnapshotOff stops a node that writes a snapshot: it does not wait until that is written, and leaves nothing of it.
func TestStopBreaksASnapshotOff(t *testing.T) {
	begun := make(chan struct{}, 1)
	c := clustertest.New(t, clustertest.Options{
		Voters:  1,
		Config:  func(_ int, c *cluster.Config) { c.SnapshotThreshold, c.SnapshotInterval = 4, 20*time.Millisecond },
		Machine: func(_ *clustertest.Member, sm *fsm.FSM) cluster.StateMachine { return endlessMachine{sm, begun} },
	})
	m := c.Leader()
	for i := uint64(1); len(begun) == 0; i++ {
		putLease(t, c, i, int(i), 1)
	}
	m.Stop()
	left, err := filepath.Glob(filepath.Join(m.Dir, "snapshots", "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
