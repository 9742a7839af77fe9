package forward

import (
	"context"
	"fmt"
	"time"

	"github.com/leasehold/leasehold/cluster"
)

// Node is what is asked of a node: *cluster.Node.
type Node interface {
	// ID is the node's own id.
	ID() string
	// IsLeader tells whether this node leads and is ready to take proposals.
	IsLeader() bool
	// Leader is the leader as this node knows it.
	Leader() (cluster.Member, bool)
	// LeaderChanged is closed at the next change of what IsLeader or Leader say.
	LeaderChanged() <-chan struct{}
}

// Leader is the gRPC address of the leader as n knows it, empty if that is n itself; ok is false while no leader is known that
// can be asked.
func Leader(n Node) (addr string, ok bool) {
	if n.IsLeader() {
		return "", true
	}
	m, ok := n.Leader()
	return m.GRPCAddress, ok && m.ID != n.ID() && m.GRPCAddress != ""
}

// Await is Leader, but waits for one up to hold, during an election say. forwarded says that the call was passed on to n, which
// then must be the leader. Errors: cluster.ErrNoLeader, cluster.ErrNotLeader for a call that was passed on to the wrong node, or
// the cause of ctx's end.
func Await(ctx context.Context, n Node, forwarded bool, hold time.Duration) (addr string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, hold, fmt.Errorf("no leader for %v: %w", hold, cluster.ErrNoLeader))
	defer cancel()
	for {
		changed := n.LeaderChanged()
		addr, ok := Leader(n)
		switch {
		case ok && addr != "" && forwarded:
			return "", fmt.Errorf("passed on to a node that does not lead: %w", cluster.ErrNotLeader)
		case ok:
			return addr, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}
