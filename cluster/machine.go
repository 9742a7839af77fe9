package cluster

import (
	"context"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/fsm"
	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/fsm/store"
	"github.com/leasehold/leasehold/fsm/watch"
)

// StateMachine is what a node needs of the replicated state machine: *fsm.FSM.
type StateMachine interface {
	raft.BatchingFSM
	// Applied is the index of the newest applied entry: applied, not merely queued.
	Applied() uint64
	// Wait returns when the entry with the index, or a later one, has been applied, or with ctx's error.
	Wait(ctx context.Context, index uint64) error
	// View is the state after the newest applied entry.
	View() *store.View
	// Feed tells of changes when a view shows them.
	Feed() *watch.Feed
	// Clock is the clock of the newest applied entry.
	Clock() binding.Time
	// Settings are the cluster's replicated settings; zero before the cluster is founded.
	Settings() fsm.Settings
	// MaintenanceDue tells whether a tick would expire, sweep or prune something.
	MaintenanceDue() bool
	// Level is the format level that is active in the log, MaxLevel the highest that the state machine reads.
	Level() uint32
	MaxLevel() uint32
	// Checkpoint is the newest checkpoint; due tells whether another is worth an entry. A state machine that does not agree with
	// a checkpoint in the log calls Node.Diverged before anything behind it is shown.
	Checkpoint() (c fsm.Checkpoint, due bool)
}

var _ StateMachine = (*fsm.FSM)(nil)
