package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/forward"
	"github.com/leasehold/leasehold/fsm"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// Limits of a session.
const (
	maxBytesInFlight = 4 << 20         // octets of batches taken and not yet acknowledged
	maxArrivals      = 512             // batches of the same: a small one counts as so many parts of the octets
	maxInFlight      = 64              // batches proposed and not yet acknowledged
	sweepLimit       = 16384           // bindings that one tick looks after while a sweep is waited for
	leaderHold       = 7 * time.Second // how long a session waits for a leader
	maxSessions      = 2048            // sessions at once on a node
	retryPause       = 20 * time.Millisecond
)

// Node is what ingest needs of the node: *cluster.Node.
type Node interface {
	forward.Node
	// Propose queues an entry; entries proposed from one goroutine stay in order. ErrNotLeader and ErrBusy mean certainly not.
	Propose(ctx context.Context, entry []byte) (*cluster.Pending, error)
}

// Sessions is what ingest needs of the state machine: *fsm.FSM.
type Sessions interface {
	// Session is the newest applied batch of a source's epoch.
	Session(source string, epoch uint64) (applied uint64, known bool)
	// Sources is every source that has reported.
	Sources() []fsm.SourceState
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
	reports  *reports
	open     atomic.Int64
	hold     time.Duration   // for a leader: leaderHold
	running  context.Context // until Stop
	stop     context.CancelCauseFunc
}

// New is the ingest service. A nil logger discards, nil metrics are counted for nobody.
func New(node Node, sessions Sessions, dialer Dialer, log *slog.Logger, metrics *Metrics) *Service {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if metrics == nil {
		metrics = NewMetrics(nil)
	}
	running, stop := context.WithCancelCause(context.Background())
	return &Service{node: node, sessions: sessions, dialer: dialer, log: log, metrics: metrics, reports: newReports(), hold: leaderHold, running: running, stop: stop}
}

// Stop ends every session, and those that come: their feeders go on at another node.
func (s *Service) Stop() { s.stop(fmt.Errorf("this node is stopping: %w", cluster.ErrNotLeader)) }

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
	s.metrics.sessions.Inc()
	defer s.metrics.sessions.Dec()
	if err := s.lead(stream, hello, session); err != nil {
		return fmt.Errorf("session of source %q: %w", session.Source, err)
	}
	return nil
}

// unwelcomed is the end of a session before its feeder was told anything: it may be begun with another leader, and the feeder
// notices nothing.
type unwelcomed struct{ error }

func (e unwelcomed) Unwrap() error { return e.error }

// lead finds the leader and runs the session with it. One that leads no more by the time that it is asked is followed by the
// next, for as long as a session waits for a leader; a call that was passed on is answered at once, for its node to do so.
func (s *Service) lead(stream ingestv1.Ingest_FeedServer, hello *ingestv1.Hello, session fsm.Session) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	defer context.AfterFunc(s.running, func() { cancel(context.Cause(s.running)) })()
	for until := time.Now().Add(s.hold); ; {
		changed := s.node.LeaderChanged()
		leader, err := forward.Await(ctx, s.node, hello.GetForwarded(), time.Until(until))
		if err != nil {
			return err
		}
		err = s.with(ctx, leader, stream, hello, session)
		if _, mayRetry := errors.AsType[unwelcomed](err); !mayRetry || hello.GetForwarded() || ctx.Err() != nil || time.Now().After(until) {
			return err
		}
		s.log.Debug("session is begun with another leader", "source", session.Source, "error", err)
		again := time.NewTimer(retryPause)
		select {
		case <-changed:
		case <-again.C:
		case <-ctx.Done():
		}
		again.Stop()
	}
}

// with runs the session with one leader: here if leader is empty.
func (s *Service) with(ctx context.Context, leader string, stream ingestv1.Ingest_FeedServer, hello *ingestv1.Hello, session fsm.Session) error {
	ctx, cancel := context.WithCancelCause(ctx)
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

// watch ends a session when the leader that it was begun with leads no more.
func (s *Service) watch(ctx context.Context, cancel context.CancelCauseFunc, leader string) {
	for {
		changed := s.node.LeaderChanged()
		if now, ok := forward.Leader(s.node); !ok || now != leader {
			cancel(fmt.Errorf("the leader changed: %w", cluster.ErrNotLeader))
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
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

// awaitSweep removes everything that the newest complete resync of a source no longer had, and tells what is known of the source
// then. The leader would get to it by itself, at its next tick; a feeder need not wait for that.
func (s *Service) awaitSweep(ctx context.Context, source string) (fsm.SourceState, error) {
	for {
		x := s.source(source)
		if !x.Sweeping {
			return x, nil
		}
		tick, err := s.node.Propose(ctx, fsm.AppendTick(nil, sweepLimit))
		if err != nil {
			return x, err
		}
		if _, err := tick.Wait(ctx); err != nil {
			return x, err
		}
	}
}
