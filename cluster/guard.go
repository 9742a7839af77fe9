package cluster

import (
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/fsm"
)

// guarded is a node's state machine as Raft sees it: once the node has diverged it makes no snapshots, and it remembers why a
// snapshot could not be read, which Raft logs and forgets.
type guarded struct {
	StateMachine
	node   *Node
	unread *error // set before NewRaft returns, and then by Raft's goroutine alone
}

// Snapshot takes the state as it is.
func (g guarded) Snapshot() (raft.FSMSnapshot, error) {
	if err := g.node.divergence(); err != nil {
		return nil, fmt.Errorf("no snapshot is taken: %w", err)
	}
	return g.StateMachine.Snapshot()
}

// Restore puts a snapshot's state in place of what there is.
func (g guarded) Restore(from io.ReadCloser) error {
	err := g.StateMachine.Restore(from)
	if errors.Is(err, fsm.ErrVersion) {
		*g.unread = err
	}
	return err
}
