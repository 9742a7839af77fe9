package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/fsm"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// Limits of a session.
const (
	maxBytesInFlight = 4 << 20         // octets of batches proposed and not yet acknowledged
	maxInFlight      = 64              // batches of the same
	leaderHold       = 7 * time.Second // how long a session waits for a leader
	maxSessions      = 2048            // sessions at once on a node
)

// Node is what ingest needs of the node: *cluster.Node.
type Node interface {
	// Propose queues an entry; entries proposed from one goroutine stay in order. ErrNotLeader and ErrBusy mean certainly not.
	Propose(ctx context.Context, entry []byte) (*cluster.Pending, error)
	// IsLeader tells whether this node takes proposals.
	IsLeader() bool
	// Leader is the leader as this node knows it.
	Leader() (cluster.Member, bool)
	// LeaderChanged is closed at the next change of either.
	LeaderChanged() <-chan struct{}
	// ID is the node's own id.
	ID() string
}

// Sessions is what ingest needs of the state machine: *fsm.FSM.
type Sessions interface {
	// Session is the newest applied batch of a source's epoch.
	Session(source string, epoch uint64) (applied uint64, known bool)
	// Sources is every source that has reported.
	Sources() []fsm.SourceState
	// Applied is the index of the newest applied entry.
	Applied() uint64
	// Wait returns once the entry with the index has been applied.
	Wait(ctx context.Context, index uint64) error
}

// Dialer makes connections to other nodes: *rpc.Pool.
type Dialer interface {
	// Conn is the connection to a node's gRPC address; it belongs to the dialer.
	Conn(addr string) (*grpc.ClientConn, error)
}

// Service is the ingest service of a node.
type Service struct {
	ingestv1.UnimplementedIngestServer
	node     Node
	sessions Sessions
	dialer   Dialer
	log      *slog.Logger
	metrics  *Metrics
	open     atomic.Int64
	hold     time.Duration // for a leader: leaderHold
	stopping chan struct{}
	stop     sync.Once
}

// New is the ingest service. A nil logger discards, nil metrics are counted for nobody.
func New(node Node, sessions Sessions, dialer Dialer, log *slog.Logger, metrics *Metrics) *Service {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if metrics == nil {
		metrics = NewMetrics(nil)
	}
	return &Service{node: node, sessions: sessions, dialer: dialer, log: log, metrics: metrics,
		hold: leaderHold, stopping: make(chan struct{})}
}

// Stop ends every session, and those that come: their feeders go on at another node.
func (s *Service) Stop() { s.stop.Do(func() { close(s.stopping) }) }

// Feed serves one session, here if this node leads, else by passing it on to the leader.
func (s *Service) Feed(stream ingestv1.Ingest_FeedServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if hello == nil {
		return status.Error(codes.InvalidArgument, "the first request is a Hello")
	}
	session := fsm.Session{Source: hello.GetSource(), Epoch: hello.GetEpoch(), Sequence: 1}
	if err := session.Validate(); err != nil {
		return fmt.Errorf("hello: %w", err)
	}
	defer s.open.Add(-1)
	if n := s.open.Add(1); n > maxSessions {
		return status.Errorf(codes.ResourceExhausted, "this node has %d sessions, more are not taken", maxSessions)
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	leader, err := s.awaitLeader(ctx, hello.GetForwarded())
	if err != nil {
		return err
	}
	s.metrics.sessions.Inc()
	defer s.metrics.sessions.Dec()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		s.watch(ctx, cancel, leader)
	}()
	defer func() {
		cancel(nil)
		<-watched
	}()
	if leader != "" {
		return s.forward(ctx, stream, hello, leader)
	}
	return s.serve(ctx, stream, session)
}

// watch ends a session when this node stops, or when the leader that it was begun with leads no more.
func (s *Service) watch(ctx context.Context, cancel context.CancelCauseFunc, leader string) {
	for {
		changed := s.node.LeaderChanged()
		if now, ok := s.leader(); !ok || now != leader {
			cancel(fmt.Errorf("the leader changed: %w", cluster.ErrNotLeader))
			return
		}
		select {
		case <-changed:
		case <-s.stopping:
			cancel(fmt.Errorf("this node is stopping: %w", cluster.ErrNotLeader))
			return
		case <-ctx.Done():
			return
		}
	}
}

// leader is the leader's gRPC address, empty if that is this node; ok is false while none is known.
func (s *Service) leader() (addr string, ok bool) {
	if s.node.IsLeader() {
		return "", true
	}
	m, ok := s.node.Leader()
	return m.GRPCAddress, ok && m.ID != s.node.ID() && m.GRPCAddress != ""
}

// awaitLeader waits until a leader is known. The address is empty if it is this node.
func (s *Service) awaitLeader(ctx context.Context, forwarded bool) (addr string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.hold, fmt.Errorf("no leader for %v: %w", s.hold, cluster.ErrNoLeader))
	defer cancel()
	for {
		changed := s.node.LeaderChanged()
		switch addr, ok := s.leader(); {
		case ok && addr != "" && forwarded:
			return "", fmt.Errorf("session was passed on to a node that does not lead: %w", cluster.ErrNotLeader)
		case ok:
			return addr, nil
		}
		select {
		case <-changed:
		case <-s.stopping:
			return "", fmt.Errorf("this node is stopping: %w", cluster.ErrNotLeader)
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// source is what is known of a source; zero when nothing is.
func (s *Service) source(name string) fsm.SourceState {
	for _, x := range s.sessions.Sources() {
		if x.Name == name {
			return x
		}
	}
	return fsm.SourceState{}
}

// awaitSweep waits until everything is gone that the newest complete resync of a source no longer had, and tells what is known
// of the source then.
func (s *Service) awaitSweep(ctx context.Context, source string) (fsm.SourceState, error) {
	for {
		applied := s.sessions.Applied()
		x := s.source(source)
		if !x.Sweeping {
			return x, nil
		}
		if err := s.sessions.Wait(ctx, applied+1); err != nil {
			return x, err
		}
	}
}
