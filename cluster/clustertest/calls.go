package clustertest

import (
	"context"
	"fmt"

	"github.com/leasehold/leasehold/cluster"
)

// calls makes the peer service's calls of one node directly.
type calls struct {
	cluster *Cluster
	from    int
}

var _ cluster.Peers = (*calls)(nil)

// call passes the request to the node at addr, makes the call and passes the reply.
func call[T any](ctx context.Context, c *calls, addr string, kind Kind, do func(*cluster.Node) (T, error)) (T, error) {
	var none T
	m := c.cluster.at(addr)
	if m == nil {
		return none, fmt.Errorf("no node at %s", addr)
	}
	if err := c.cluster.faults.pass(Message{From: c.from, To: m.Index, Kind: kind}); err != nil {
		return none, err
	}
	node := m.running.Load()
	if node == nil {
		return none, fmt.Errorf("%s: connection refused", addr)
	}
	v, err := do(node)
	if perr := c.cluster.faults.pass(Message{From: m.Index, To: c.from, Kind: kind, Reply: true}); perr != nil {
		return none, perr
	}
	if ctx.Err() != nil {
		return none, ctx.Err()
	}
	return v, err
}

// ReadIndex asks the leader for a read index.
func (c *calls) ReadIndex(ctx context.Context, addr, clusterID string) (cluster.ReadIndex, error) {
	return call(ctx, c, addr, ReadIndex, func(n *cluster.Node) (cluster.ReadIndex, error) { return n.ServeReadIndex(ctx, clusterID) })
}

// Term asks a node for its term.
func (c *calls) Term(ctx context.Context, addr, clusterID string) (cluster.TermReport, error) {
	return call(ctx, c, addr, Term, func(n *cluster.Node) (cluster.TermReport, error) { return n.ServeTerm(clusterID) })
}

// Describe asks a node about itself.
func (c *calls) Describe(ctx context.Context, addr string, stateHash bool) (cluster.Description, error) {
	return call(ctx, c, addr, Describe, func(n *cluster.Node) (cluster.Description, error) { return n.Describe(ctx, stateHash) })
}

// Join asks a node to have the leader admit one; a node that does not lead passes it on once.
func (c *calls) Join(ctx context.Context, addr string, r cluster.JoinRequest) (string, error) {
	return call(ctx, c, addr, Join, func(n *cluster.Node) (string, error) {
		if n.IsLeader() {
			return n.Join(ctx, r)
		}
		leader, ok := n.Leader()
		if !ok {
			return "", cluster.ErrNoLeader
		}
		next := &calls{cluster: c.cluster, from: c.cluster.at(addr).Index}
		return call(ctx, next, leader.GRPCAddress, Join, func(l *cluster.Node) (string, error) { return l.Join(ctx, r) })
	})
}
