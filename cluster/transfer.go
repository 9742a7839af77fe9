package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// TransferLeadership hands leadership to a voter, by id or name; empty: to the one that has applied most. It returns the
// leader that this node then knows. Errors: ErrNotLeader, ErrNoMember, ErrInvalid.
func (n *Node) TransferLeadership(ctx context.Context, idOrName string) (Member, error) {
	if r := n.raft.Load(); r == nil || r.State() != raft.Leader {
		return Member{}, fmt.Errorf("transfer leadership: %w", ErrNotLeader)
	}
	return n.transfer(ctx, idOrName)
}

// transferAttempts is how often handing over is tried before the old leader stays.
const transferAttempts = 3

func (n *Node) transfer(ctx context.Context, to string) (Member, error) {
	var last error
	for range transferAttempts {
		m, err := n.transferTarget(ctx, to)
		if err != nil {
			return Member{}, fmt.Errorf("transfer leadership: %w", err)
		}
		if m.ID == n.ID() {
			return m, nil
		}
		if last = await(ctx, n.raft.Load().LeadershipTransferToServer(raft.ServerID(m.ID), place{m.RaftAddress, m.GRPCAddress, m.Name}.address())); last == nil {
			m.Leader = true
			return m, nil
		}
		if errors.Is(last, raft.ErrNotLeader) || !pause(ctx, retryPause) {
			break
		}
	}
	return Member{}, fmt.Errorf("transfer leadership: %w", last)
}

// transferTarget is the named voter, or the reachable one that has applied most: Raft's own choice may be dead.
func (n *Node) transferTarget(ctx context.Context, to string) (Member, error) {
	if to != "" {
		m, err := n.lookup(to)
		if err == nil && !m.Voter {
			err = fmt.Errorf("%w: %q has no vote", ErrInvalid, to)
		}
		return m, err
	}
	ctx, cancel := context.WithTimeout(ctx, n.cfg.HeartbeatTimeout)
	defer cancel()
	var best Member
	var applied uint64
	for d := range n.describeAll(ctx, n.Members()) {
		if d.Member.Voter && d.Member.ID != n.ID() && d.AppliedIndex >= applied {
			best, applied = d.Member, d.AppliedIndex
		}
	}
	if best.ID == "" {
		return Member{}, fmt.Errorf("%w: no other voter answers", ErrNoMember)
	}
	return best, nil
}
