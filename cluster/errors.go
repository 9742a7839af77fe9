package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// What callers decide by. Match with errors.Is: the errors returned wrap these and their cause.
var (
	// ErrNotLeader says that this node is not the leader, or not yet, or no longer. A proposal was certainly not appended.
	ErrNotLeader = errors.New("not the leader")
	// ErrBusy says that the log's queue stayed full. The proposal was certainly not appended; try again here.
	ErrBusy = errors.New("log is busy")
	// ErrUnknown says that nobody knows whether the proposal was or will be committed: leadership was lost, the node stopped or
	// the caller gave up waiting. It is safe to propose it again because the state machine counts batches.
	ErrUnknown = errors.New("outcome unknown")
	// ErrNotFresh says that the node could neither reach a leader nor prove that it was up to date recently.
	ErrNotFresh = errors.New("not provably fresh")
	// ErrNoLeader says that this node knows of no leader that it can reach.
	ErrNoLeader = errors.New("no leader")
	// ErrNotRunning says that Run has not come far enough yet, or has ended.
	ErrNotRunning = errors.New("node is not running")
	// ErrWrongCluster says that a peer belongs to another cluster.
	ErrWrongCluster = errors.New("wrong cluster")
	// ErrRemoved says that the node was removed from this cluster. It may come back only with an empty data directory.
	ErrRemoved = errors.New("removed from the cluster")
	// ErrNoMember says that the cluster has no member of that id or name.
	ErrNoMember = errors.New("no such member")
	// ErrLastVoter says that the last voter cannot be removed.
	ErrLastVoter = errors.New("last voter")
	// ErrQuorum says that a change of membership would leave no majority of voters that answers.
	ErrQuorum = errors.New("the quorum would be lost")
	// ErrInvalid says that a request makes no sense.
	ErrInvalid = errors.New("invalid request")
)

// proposalError maps what a Raft future says to whether the proposal can be in the log.
func proposalError(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return fmt.Errorf("%w: %w", ErrNotLeader, err)
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	return fmt.Errorf("%w: %w", ErrUnknown, err)
}

// changeError is proposalError for a change of membership.
func changeError(what string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w: %w", what, ErrUnknown, err)
	}
	return fmt.Errorf("%s: %w", what, proposalError(err))
}
