package rpc

import (
	"context"

	"github.com/leasehold/leasehold/cluster"
	peerv1 "github.com/leasehold/leasehold/proto/peer/v1"
)

// Node is what the peer service asks of this node: *cluster.Node.
type Node interface {
	// ServeReadIndex is an index that has everything committed when the call began; an error unless this node leads.
	ServeReadIndex(ctx context.Context, clusterID string) (cluster.ReadIndex, error)
	// ServeTerm is the node's term and wall clock.
	ServeTerm(clusterID string) (cluster.TermReport, error)
	// Describe is what the node says of itself.
	Describe(ctx context.Context, stateHash bool) (cluster.Description, error)
}

// PeerService serves peer.v1 for a node.
type PeerService struct {
	peerv1.UnimplementedPeerServer
	node Node
}

// NewPeerService is the peer service of a node.
func NewPeerService(n Node) *PeerService { return &PeerService{node: n} }

// ReadIndex asks the node, which must lead.
func (p *PeerService) ReadIndex(ctx context.Context, r *peerv1.ReadIndexRequest) (*peerv1.ReadIndexResponse, error) {
	i, err := p.node.ServeReadIndex(ctx, r.GetClusterId())
	if err != nil {
		return nil, err
	}
	return &peerv1.ReadIndexResponse{Index: i.Index, Term: i.Term}, nil
}

// Term tells the node's term and wall clock.
func (p *PeerService) Term(_ context.Context, r *peerv1.TermRequest) (*peerv1.TermResponse, error) {
	t, err := p.node.ServeTerm(r.GetClusterId())
	if err != nil {
		return nil, err
	}
	return &peerv1.TermResponse{Term: t.Term, WallMs: t.Wall.UnixMilli(), NodeId: t.NodeID}, nil
}

// Describe tells what the node says of itself.
func (p *PeerService) Describe(ctx context.Context, r *peerv1.DescribeRequest) (*peerv1.DescribeResponse, error) {
	d, err := p.node.Describe(ctx, r.GetStateHash())
	if err != nil {
		return nil, err
	}
	return &peerv1.DescribeResponse{
		NodeId: d.NodeID, Name: d.Name, ClusterId: d.ClusterID, State: d.State, Voter: d.Voter, AppliedIndex: d.AppliedIndex,
		FreshMs: freshMS(d.Fresh), Bindings: d.Bindings, Ready: d.Ready, Reasons: d.Reasons, Version: d.Version, StateHash: d.StateHash,
		BootstrapExpect: uint32(d.BootstrapExpect), RaftAddress: d.RaftAddress, GrpcAddress: d.GRPCAddress, HasState: d.HasState, Founders: d.Founders,
		FormatLevel: d.Level, MaxFormatLevel: d.MaxLevel, CheckpointIndex: d.Checkpoint.Index, CheckpointHash: d.Checkpoint.Hash,
	}, nil
}
