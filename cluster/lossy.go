package cluster

import (
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/fsm"
	"github.com/leasehold/leasehold/fsm/binding"
)

// lossy is the state machine of a cluster that goes on although some of what it acknowledged may be lost. The snapshot that it makes
// knows of that: see fsm.FSM.Succeed.
type lossy struct {
	*fsm.FSM
	clusterID  string         // from now on; empty: as before
	succession fsm.Succession // of the newest snapshot
}

// Snapshot is the state in which the cluster goes on.
func (l *lossy) Snapshot() (raft.FSMSnapshot, error) {
	var err error
	if l.succession, err = l.Succeed(binding.FromWall(time.Now()), l.clusterID); err != nil {
		return nil, fmt.Errorf("take over the state: %w", err)
	}
	return l.FSM.Snapshot()
}
