package cluster

import (
	"context"
	"time"

	"github.com/leasehold/leasehold/cluster/membership"
	"github.com/leasehold/leasehold/fsm"
)

// Peers is how a node asks others. addr is a gRPC address, host:port. Calls end with ctx and are safe for concurrent use; a
// call that fails says nothing about whether the other carried it out.
type Peers interface {
	// ReadIndex asks the leader for an index that has everything committed when the call began.
	ReadIndex(ctx context.Context, addr, clusterID string) (ReadIndex, error)
	// Term asks for a node's current term and wall clock.
	Term(ctx context.Context, addr, clusterID string) (TermReport, error)
	// Describe asks a node about itself.
	Describe(ctx context.Context, addr string, stateHash bool) (Description, error)
	// Join asks any node to have the leader admit one. Errors match ErrRemoved and ErrWrongCluster.
	Join(ctx context.Context, addr string, r JoinRequest) (clusterID string, err error)
}

// Discovery is how a node finds others: *membership.Gossip. All of it is advice.
type Discovery interface {
	// Announce sets what is told of this node, before and during Run.
	Announce(self membership.Peer) error
	// Run takes part in the gossip until ctx ends.
	Run(ctx context.Context) error
	// Peers is every other node that is known, by id.
	Peers() []membership.Peer
	// Settled tells whether the others have been looked for once, whatever came of it.
	Settled() bool
	// Learn adds what was learned elsewhere about nodes that gossip does not know.
	Learn(peers ...membership.Peer)
}

// ReadIndex is an answer of the leader: a node that has applied Index has everything that was committed when it was asked.
type ReadIndex struct {
	Index uint64
	Term  uint64
}

// TermReport is a node's Raft term and wall clock.
type TermReport struct {
	NodeID string
	Term   uint64
	Wall   time.Time
}

// Description is what a node says of itself.
type Description struct {
	NodeID          string
	Name            string
	ClusterID       string // empty before the node is in a cluster
	State           string // leader, follower, candidate, non-voter, removed or starting
	Voter           bool
	AppliedIndex    uint64
	Fresh           time.Duration // age of the newest proof of freshness; negative: there was none yet
	Bindings        uint64
	Ready           bool
	Reasons         []string // why it is not ready
	Version         string
	StateHash       string // hex; empty unless asked for
	BootstrapExpect int
	RaftAddress     string
	GRPCAddress     string
	HasState        bool   // whether it has a Raft log or snapshot of its own
	Founders        string // digest of the founders that it sees; empty before it looked, and once it is in a cluster
	Level           uint32 // the format level that is active in its log; 0 of a version that knows of none: the first
	MaxLevel        uint32 // the highest that it reads; 0 likewise
	Checkpoint      fsm.Checkpoint
}

// JoinRequest asks for a place in the cluster.
type JoinRequest struct {
	ID          string
	Name        string
	RaftAddress string // host:port
	GRPCAddress string // host:port
	Voter       bool   // whether it wants a vote once it has caught up
	ClusterID   string // what the node knows; empty for one that never was in a cluster
	MaxLevel    uint32 // the highest format level that it reads; 0 of a version that knows of none: the first
}

// Member is a node of the replicated configuration.
type Member struct {
	ID          string
	Name        string
	RaftAddress string
	GRPCAddress string
	Voter       bool
	Leader      bool
	Gossip      string // alive, suspect, dead, left, unknown: advice only
}
