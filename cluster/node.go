package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/cluster/membership"
	"github.com/leasehold/leasehold/fsm/binding"
)

// Deps is what a node works with.
type Deps struct {
	Logger    *slog.Logger
	Clock     *Clock                              // told by the state machine of every applied entry
	Listener  net.Listener                        // for Raft; closed by Run
	Peers     Peers                               // nil only for a node that is alone
	Discovery Discovery                           // run by Run; nil for a node that is alone
	Wall      func() time.Time                    // the wall clock; nil: time.Now
	Intercept func(raft.Transport) raft.Transport // puts faults between Raft and its transport; nil: none
}

// Node is one member of a cluster, or one that is about to be. Its methods may be called from any goroutine.
type Node struct {
	cfg  Config
	deps Deps
	log  *slog.Logger
	sm   StateMachine

	origin   time.Time                 // of monotonic instants
	raft     atomic.Pointer[raft.Raft] // nil before the snapshot is restored
	stores   *stores                   // set before raft
	hangUp   func()                    // ends what Raft waits for of others; set before raft
	proposer *proposer
	reads    *rounds // of ReadIndex on any node
	proofs   *rounds // of ReadIndex on the leader

	leadTerm  atomic.Uint64 // the term in which this node leads and has applied all that came before; 0: none
	readyTerm atomic.Uint64 // leadTerm, once the first entry of the term is applied: see lead
	freshAt   atomic.Int64  // instant of the newest proof of freshness; negative: none
	draining  atomic.Bool   // not ready, and giving leadership away
	handing   atomic.Bool   // leadership is being handed over just now
	stopping  atomic.Bool   // takes no more proposals
	removed   atomic.Bool
	isolated  atomic.Bool // no majority of the voters answers: see lookAround
	hasState  atomic.Bool
	diverged  atomic.Pointer[error]  // why nothing may be served any more: see Diverged
	founders  atomic.Pointer[string] // digest of the founders that this node sees
	changed   *broadcast             // leader, or readiness to take proposals
	readiness *broadcast             // kinds of Reasons
	ready     chan struct{}
	readyOnce sync.Once
	fatal     chan error // the first error that ends the node
	admission sync.Mutex // one change of membership at a time
	wishes    sync.Map   // node id to whether it asked for a vote, as the leader was told

	idMu sync.Mutex
	id   Identity
}

// Open reads or makes the node's identity and checks the configuration. It starts nothing; Run does.
func Open(cfg Config, sm StateMachine, deps Deps) (*Node, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if deps.Logger == nil || deps.Clock == nil || deps.Listener == nil || sm == nil {
		return nil, errors.New("node needs a logger, a clock, a raft listener and a state machine")
	}
	if (deps.Peers == nil || deps.Discovery == nil) && cfg.BootstrapExpect != 1 {
		return nil, errors.New("node that is not alone needs peers and discovery")
	}
	if deps.Wall == nil {
		deps.Wall = time.Now
	}
	if cfg.RaftAddress == "" {
		cfg.RaftAddress = deps.Listener.Addr().String()
	}
	if err := sound(cfg.DataDir); err != nil {
		return nil, err
	}
	id, err := loadIdentity(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	self := JoinRequest{ID: id.NodeID, Name: cfg.Name, RaftAddress: cfg.RaftAddress, GRPCAddress: cfg.GRPCAddress}
	if err := self.check(); err != nil {
		return nil, fmt.Errorf("node configuration: %w", err)
	}
	n := &Node{
		cfg: cfg, deps: deps, sm: sm, id: id,
		log:      deps.Logger.With("node", cfg.Name),
		origin:   time.Now(),
		proposer: newProposer(cfg.MaxInFlight),
		changed:  newBroadcast(), readiness: newBroadcast(),
		ready: make(chan struct{}),
		fatal: make(chan error, 1),
	}
	n.freshAt.Store(-1)
	n.hasState.Store(id.ClusterID != "")
	n.reads, n.proofs = newRounds(n.askIndex), newRounds(n.proveIndex)
	return n, nil
}

// Ready is closed when the node first could answer: restored, replayed and provably up to date. Reasons tells the present.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// ID is the node's id: a UUID, the Raft server id.
func (n *Node) ID() string { return n.identity().NodeID }

// Name is what operators call the node.
func (n *Node) Name() string { return n.cfg.Name }

// ClusterID is the id of the node's cluster; empty before it has been a member of one.
func (n *Node) ClusterID() string { return n.identity().ClusterID }

// ServerDUID is the DUID that all nodes answer with (OPTION_SERVERID); nil before the cluster is founded.
func (n *Node) ServerDUID() []byte { return n.sm.Settings().ServerDUID }

// Now is cluster time: the clock of the newest applied entry plus the monotonic time since.
func (n *Node) Now() binding.Time { return n.deps.Clock.Now() }

// LeaderChanged is closed at the next change of the leader or of the readiness to take proposals: take it, look, then wait.
func (n *Node) LeaderChanged() <-chan struct{} { return n.changed.wait() }

// Drain begins a planned stop: the node turns not ready, and while Run runs it hands leadership over to another voter whenever
// it has it. Everything else goes on as before, proposals included as long as it leads. It is for the time between the decision
// to stop and the end of Run's context, in which relays move to other nodes.
func (n *Node) Drain() {
	n.draining.Store(true)
	n.changed.tell()
	n.readiness.tell()
}

func (n *Node) identity() Identity {
	n.idMu.Lock()
	defer n.idMu.Unlock()
	return n.id
}

// setIdentity changes and saves the identity.
func (n *Node) setIdentity(change func(*Identity)) error {
	n.idMu.Lock()
	defer n.idMu.Unlock()
	id := n.id
	change(&id)
	if id == n.id {
		return nil
	}
	if err := id.save(n.cfg.DataDir); err != nil {
		return err
	}
	n.id = id
	return nil
}

// fail ends the node with the first error that it is told.
func (n *Node) fail(err error) {
	select {
	case n.fatal <- err:
	default:
	}
}

// self is what the node's gossip says.
func (n *Node) self() membership.Peer {
	id := n.identity()
	return membership.Peer{
		ID: id.NodeID, Name: n.cfg.Name, RaftAddress: n.cfg.RaftAddress, GRPCAddress: n.cfg.GRPCAddress,
		Expect: n.cfg.BootstrapExpect, Voter: !n.cfg.NonVoter, HasState: n.hasState.Load(), ClusterID: id.ClusterID,
	}
}

// announce tells the gossip what has changed about this node.
func (n *Node) announce() error {
	if n.deps.Discovery == nil {
		return nil
	}
	if err := n.deps.Discovery.Announce(n.self()); err != nil {
		return fmt.Errorf("announce node: %w", err)
	}
	return nil
}

// Describe is what the node says of itself. stateHash asks for a walk over the whole state.
func (n *Node) Describe(ctx context.Context, stateHash bool) (Description, error) {
	d := Description{
		NodeID: n.ID(), Name: n.cfg.Name, ClusterID: n.ClusterID(), State: n.State(), AppliedIndex: n.sm.Applied(), Fresh: -1,
		Reasons: n.Reasons(), Version: n.cfg.Version, BootstrapExpect: n.cfg.BootstrapExpect,
		RaftAddress: n.cfg.RaftAddress, GRPCAddress: n.cfg.GRPCAddress, HasState: n.hasState.Load(),
		Level: n.sm.Level(), MaxLevel: n.sm.MaxLevel(),
	}
	d.Checkpoint, _ = n.sm.Checkpoint()
	if view := n.founders.Load(); view != nil && !d.HasState {
		d.Founders = *view
	}
	if age, ok := n.Fresh(); ok {
		d.Fresh = age
	}
	d.Ready = len(d.Reasons) == 0
	if s, ok := n.server(n.ID()); ok {
		d.Voter = s.Suffrage == raft.Voter
	}
	if n.raft.Load() == nil {
		return d, ctx.Err()
	}
	v := n.sm.View()
	defer v.Release()
	d.Bindings, d.AppliedIndex = v.Len(), v.Index()
	if stateHash {
		d.StateHash = fmt.Sprintf("%x", v.Hash())
	}
	return d, ctx.Err()
}
