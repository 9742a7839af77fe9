package rpc

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/fsm"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
	peerv1 "github.com/leasehold/leasehold/proto/peer/v1"
)

// Peers asks other nodes over gRPC. It is a cluster.Peers.
type Peers struct {
	pool *Pool
}

var _ cluster.Peers = (*Peers)(nil)

// NewPeers asks over the pool's connections.
func NewPeers(p *Pool) *Peers { return &Peers{pool: p} }

func (p *Peers) peer(addr string) (peerv1.PeerClient, error) {
	conn, err := p.pool.Conn(addr)
	if err != nil {
		return nil, err
	}
	return peerv1.NewPeerClient(conn), nil
}

// asking says in err which node was asked what.
func asking(addr, what string, err error) error {
	return fmt.Errorf("ask node %s for %s: %w", addr, what, FromStatus(err))
}

// ReadIndex asks the leader for an index that has everything committed when the call began.
func (p *Peers) ReadIndex(ctx context.Context, addr, clusterID string) (cluster.ReadIndex, error) {
	c, err := p.peer(addr)
	if err != nil {
		return cluster.ReadIndex{}, err
	}
	r, err := c.ReadIndex(ctx, &peerv1.ReadIndexRequest{ClusterId: clusterID})
	if err != nil {
		return cluster.ReadIndex{}, asking(addr, "a read index", err)
	}
	return cluster.ReadIndex{Index: r.GetIndex(), Term: r.GetTerm()}, nil
}

// Term asks a node for its term and wall clock.
func (p *Peers) Term(ctx context.Context, addr, clusterID string) (cluster.TermReport, error) {
	c, err := p.peer(addr)
	if err != nil {
		return cluster.TermReport{}, err
	}
	r, err := c.Term(ctx, &peerv1.TermRequest{ClusterId: clusterID})
	if err != nil {
		return cluster.TermReport{}, asking(addr, "its term", err)
	}
	return cluster.TermReport{NodeID: r.GetNodeId(), Term: r.GetTerm(), Wall: time.UnixMilli(r.GetWallMs())}, nil
}

// Describe asks a node about itself.
func (p *Peers) Describe(ctx context.Context, addr string, stateHash bool) (cluster.Description, error) {
	c, err := p.peer(addr)
	if err != nil {
		return cluster.Description{}, err
	}
	r, err := c.Describe(ctx, &peerv1.DescribeRequest{StateHash: stateHash})
	if err != nil {
		return cluster.Description{}, asking(addr, "a description", err)
	}
	return cluster.Description{
		NodeID: r.GetNodeId(), Name: r.GetName(), ClusterID: r.GetClusterId(), State: r.GetState(), Voter: r.GetVoter(),
		AppliedIndex: r.GetAppliedIndex(), Fresh: freshAge(r.GetFreshMs()), Bindings: r.GetBindings(), Ready: r.GetReady(),
		Reasons: r.GetReasons(), Version: r.GetVersion(), StateHash: r.GetStateHash(), BootstrapExpect: int(r.GetBootstrapExpect()),
		RaftAddress: r.GetRaftAddress(), GRPCAddress: r.GetGrpcAddress(), HasState: r.GetHasState(), Founders: r.GetFounders(),
		Level: r.GetFormatLevel(), MaxLevel: r.GetMaxFormatLevel(),
		Checkpoint: fsm.Checkpoint{Index: r.GetCheckpointIndex(), Hash: r.GetCheckpointHash()},
	}, nil
}

// Join asks a node to have the leader admit one.
func (p *Peers) Join(ctx context.Context, addr string, j cluster.JoinRequest) (clusterID string, err error) {
	conn, err := p.pool.Conn(addr)
	if err != nil {
		return "", err
	}
	r, err := adminv1.NewAdminClient(conn).Join(ctx, &adminv1.JoinRequest{Id: j.ID, Name: j.Name, RaftAddress: j.RaftAddress,
		GrpcAddress: j.GRPCAddress, Voter: j.Voter, ClusterId: j.ClusterID, MaxFormatLevel: j.MaxLevel})
	if err != nil {
		return "", asking(addr, "a place in the cluster", err)
	}
	return r.GetClusterId(), nil
}

// freshNever is the age on the wire of a proof that there never was.
const freshNever = math.MaxUint64

// freshMS is the age of a proof of freshness on the wire: milliseconds.
func freshMS(d time.Duration) uint64 {
	if d < 0 {
		return freshNever
	}
	return uint64(d.Milliseconds())
}

// freshAge is freshMS backwards; negative for never.
func freshAge(ms uint64) time.Duration {
	if ms > uint64(math.MaxInt64/int64(time.Millisecond)) {
		return -1
	}
	return time.Duration(ms) * time.Millisecond
}
