package cluster

import (
	"context"
	"errors"
	"fmt"
)

// successorPasses is how many times JoinInterval lie between two looks for successors, while there is no sign of any.
const successorPasses = 10

// watchSuccessors ends the node when its cluster was recovered without it. The survivors of a lost quorum are servers of new ids
// at the addresses of old ones, which a member that comes back from before still counts as its own. Two such members could
// elect one another and be a second cluster; so each asks, at once and again and again, who is at the others' addresses.
//
// It cannot find out while no survivor is reached. The procedure therefore says: lost members are wiped before they start.
func (n *Node) watchSuccessors(ctx context.Context) {
	for {
		seen, err := n.successor(ctx)
		if err != nil {
			n.fail(err)
			return
		}
		wait := n.cfg.JoinInterval
		if !seen {
			wait *= successorPasses
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// successor looks for servers of this cluster that are at the address of a member and have another id. seen: there is one. It is
// an error that such a one says that this node is no member.
func (n *Node) successor(ctx context.Context) (seen bool, err error) {
	if n.ClusterID() == "" || n.deps.Peers == nil {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, n.cfg.RaftStallTimeout)
	defer cancel()
	for _, m := range n.Members() {
		if m.ID == n.ID() || m.GRPCAddress == "" {
			continue
		}
		call, cancel := context.WithTimeout(ctx, n.cfg.HeartbeatTimeout)
		d, err := n.deps.Peers.Describe(call, m.GRPCAddress, false)
		cancel()
		if err != nil || d.NodeID == m.ID || d.NodeID == n.ID() || d.ClusterID != n.ClusterID() {
			continue // a wiped node is of no cluster before it is admitted, and is then in the membership
		}
		seen = true
		if _, err := n.deps.Peers.Join(ctx, m.GRPCAddress, n.joinRequest()); errors.Is(err, ErrRemoved) {
			n.removed.Store(true)
			return true, fmt.Errorf("%w: the cluster goes on without this node: at the address of %s (%s) is %s, which knows it no more. "+
				"Empty %q so that the node joins anew under a new id", ErrRemoved, m.Name, m.ID, d.NodeID, n.cfg.DataDir)
		}
	}
	return seen, nil
}
