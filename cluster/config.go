package cluster

import (
	"errors"
	"fmt"
	"time"

	"github.com/leasehold/leasehold/fsm"
)

// Config is what a node is told. DefaultConfig has everything but names, addresses and the data directory.
type Config struct {
	Name            string // what operators call the node, unique in its cluster
	DataDir         string // identity, Raft log and snapshots; made when missing
	ClusterName     string // nodes of another name are not heard
	BootstrapExpect int    // how many nodes found the cluster together; 0: only ever join
	NonVoter        bool   // answers relays but has no vote
	RaftAddress     string // host:port that others dial for Raft; empty: that of the listener
	GRPCAddress     string // host:port that others dial for gRPC
	Version         string // of the binary, for Describe

	HeartbeatTimeout  time.Duration // a follower that hears nothing for one to two of these stands for election
	ElectionTimeout   time.Duration
	LeaderLease       time.Duration // a leader that hears no majority for this long steps down; above the disk's worst stall
	SnapshotThreshold uint64        // log entries since the last snapshot that make a new one
	SnapshotBytes     int64         // octets of log since the last snapshot that make a new one at the latest
	SnapshotInterval  time.Duration // how often SnapshotThreshold is looked at
	TrailingLogs      uint64        // log entries kept behind a snapshot
	MaxAppendEntries  int           // log entries in one message and one disk write

	ReadHold      time.Duration // how long View waits for a leader
	MaxStaleness  time.Duration // how old a proof of freshness may be for View to do without a leader
	ProofInterval time.Duration // how often the node proves that it is up to date

	ClockMaxStep       time.Duration // how far the wall clocks of a majority may lie apart for a new leader to believe them
	TickInterval       time.Duration // a leader that has proposed nothing for this long proposes the time
	MaintainLimit      uint32        // entries of the store that one tick may expire, sweep or prune
	MaxInFlight        int64         // octets proposed and not yet committed and applied
	MaxEntry           int           // octets of one log entry
	JoinInterval       time.Duration // how often a node tries to found, join or correct its membership
	AdmitInterval      time.Duration // how often the leader looks at non-voters that want a vote
	PromoteAfter       time.Duration // how long a non-voter must have been caught up to get its vote
	CheckpointInterval time.Duration // how often the nodes compare what they have applied, if anything was
	ShutdownTimeout    time.Duration // how long the end of Run waits for proposals under way
	RaftStallTimeout   time.Duration // how long an entry may wait for the log's queue before ErrBusy

	ServerDUID []byte        // of the whole cluster; read by the leader that founds it; nil: a DUID-UUID is made (RFC 6355)
	CatchUp    time.Duration // how long ends of bindings are kept for active leasequery; read at founding
}

// DefaultConfig is a node's configuration but for its name, addresses and data directory.
func DefaultConfig() Config {
	return Config{
		ClusterName: "leasehold", BootstrapExpect: 1,
		HeartbeatTimeout: time.Second, ElectionTimeout: time.Second, LeaderLease: 600 * time.Millisecond,
		SnapshotThreshold: 32768, SnapshotBytes: 2 << 30, SnapshotInterval: time.Minute, TrailingLogs: 16384, MaxAppendEntries: 64,
		ReadHold: 5 * time.Second, MaxStaleness: 10 * time.Second, ProofInterval: 250 * time.Millisecond,
		ClockMaxStep: time.Minute, TickInterval: time.Second, MaintainLimit: 8192,
		MaxInFlight: 32 << 20, MaxEntry: fsm.MaxEntry,
		JoinInterval: time.Second, AdmitInterval: time.Second, PromoteAfter: 10 * time.Second, CheckpointInterval: 10 * time.Second,
		ShutdownTimeout: 5 * time.Second, RaftStallTimeout: 5 * time.Second, CatchUp: 10 * time.Minute,
	}
}

// check tells everything that is wrong with c.
func (c *Config) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Name == "" || len(c.Name) > 64 {
		bad("name of %d octets, want 1 to 64", len(c.Name))
	}
	if c.DataDir == "" {
		bad("no data directory")
	}
	if c.ClusterName == "" {
		bad("no cluster name")
	}
	if c.BootstrapExpect < 0 || c.BootstrapExpect > 9 {
		bad("bootstrap_expect %d, want 0 to 9", c.BootstrapExpect)
	}
	if c.NonVoter && c.BootstrapExpect == 1 {
		bad("a non-voter cannot found a cluster alone: bootstrap_expect 1")
	}
	if c.GRPCAddress == "" {
		bad("no gRPC address")
	}
	if c.LeaderLease < 5*time.Millisecond || c.LeaderLease > c.HeartbeatTimeout || c.HeartbeatTimeout > c.ElectionTimeout {
		bad("want 5ms <= leader lease (%v) <= heartbeat timeout (%v) <= election timeout (%v)", c.LeaderLease, c.HeartbeatTimeout, c.ElectionTimeout)
	}
	for _, d := range []struct {
		what string
		d    time.Duration
	}{
		{"snapshot interval", c.SnapshotInterval}, {"proof interval", c.ProofInterval}, {"tick interval", c.TickInterval},
		{"join interval", c.JoinInterval}, {"admit interval", c.AdmitInterval}, {"checkpoint interval", c.CheckpointInterval},
		{"clock max step", c.ClockMaxStep},
		{"shutdown timeout", c.ShutdownTimeout}, {"raft stall timeout", c.RaftStallTimeout},
	} {
		if d.d <= 0 {
			bad("%s %v, want more than 0", d.what, d.d)
		}
	}
	if c.ReadHold < 0 || c.MaxStaleness < 0 || c.PromoteAfter < 0 {
		bad("read hold (%v), max staleness (%v) and promote after (%v) may not be negative", c.ReadHold, c.MaxStaleness, c.PromoteAfter)
	}
	if c.SnapshotThreshold == 0 || c.SnapshotBytes <= 0 || c.MaintainLimit == 0 || c.MaxAppendEntries < 1 || c.MaxAppendEntries > 1024 {
		bad("snapshot threshold, snapshot bytes and maintain limit must be above 0, max append entries 1 to 1024")
	}
	if c.MaxEntry <= 0 || int64(c.MaxEntry)+entryOverhead > c.MaxInFlight {
		bad("want 0 < max entry (%d octets) < max in flight (%d octets)", c.MaxEntry, c.MaxInFlight)
	}
	if len(errs) > 0 {
		return fmt.Errorf("node configuration: %w", errors.Join(errs...))
	}
	return nil
}
