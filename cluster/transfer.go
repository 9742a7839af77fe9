package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

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

// handOver is one attempt. While it lasts Raft takes no entries, so the node says that it does not lead: who wants to propose
// waits for the next leader instead of being refused again and again.
func (n *Node) handOver(ctx context.Context, m Member) error {
	n.handing.Store(true)
	n.changed.tell()
	defer func() {
		n.handing.Store(false)
		n.changed.tell()
	}()
	return await(ctx, n.raft.Load().LeadershipTransferToServer(raft.ServerID(m.ID), place{m.RaftAddress, m.GRPCAddress, m.Name}.address()))
}

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
		if last = n.handOver(ctx, m); last == nil {
			m.Leader = true
			return m, nil
		}
		if errors.Is(last, raft.ErrNotLeader) || !pause(ctx, retryPause) {
			break
		}
	}
	return Member{}, fmt.Errorf("transfer leadership: %w", last)
}

// transferTarget is the named voter, or the best that answers: one that is ready before one that is not, it may be about to stop
// too, and of these the one that has applied most. Raft's own choice may be dead.
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
	var best described
	for d := range n.describeAll(ctx, n.Members()) {
		if !d.Member.Voter || d.Member.ID == n.ID() {
			continue
		}
		if best.Member.ID == "" || (d.Ready && !best.Ready) || (d.Ready == best.Ready && d.AppliedIndex > best.AppliedIndex) {
			best = d
		}
	}
	if best.Member.ID == "" {
		return Member{}, fmt.Errorf("%w: no other voter answers", ErrNoMember)
	}
	return best.Member, nil
}

// giveAway hands over leadership whenever the node has it while it drains, until ctx ends. That it is done at once, and not when
// the node stops, lets ingest and reads find the next leader while this node still answers everybody.
func (n *Node) giveAway(ctx context.Context) {
	for {
		changed := n.changed.wait()
		for n.draining.Load() && n.raft.Load().State() == raft.Leader {
			changed = n.changed.wait()
			wait := n.cfg.HeartbeatTimeout
			if n.giveAwayOnce(ctx) {
				wait = retryPause
			}
			if !pause(ctx, wait) {
				return
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (n *Node) giveAwayOnce(ctx context.Context) bool {
	began := n.instant()
	m, err := n.transfer(ctx, "")
	took := (n.instant() - began).Round(time.Millisecond)
	switch {
	case err == nil:
		n.log.Info("handed over leadership", "to", m.Name, "id", m.ID, "took", took)
		return true
	case errors.Is(err, ErrNoMember):
		n.log.Debug("nobody is there to take over leadership", "error", err)
	case ctx.Err() == nil && !errors.Is(err, raft.ErrNotLeader):
		n.log.Warn("leadership is not handed over yet", "took", took, "error", err)
	}
	return false
}
