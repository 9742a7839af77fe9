package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/leasehold/leasehold/fsm"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// localSession is a session on the leader. One goroutine takes batches as they come, one proposes them, the call's own waits for
// them and acknowledges, all in order. A batch that waits to be proposed has been taken: the ages in it go on.
type localSession struct {
	service  *Service
	stream   ingestv1.Ingest_FeedServer
	session  fsm.Session
	arrivals chan arrival        // closed when no more batches come
	flights  chan flight         // closed when no more are proposed
	room     *semaphore.Weighted // octets that may still be taken
	convert  converter           // of the proposing goroutine
	refused  uint64              // bindings of a virtual network so far
	instance *string             // which agent of the source it is, once it has reported; reports.mu guards it
	gone     bool                // whether the session has ended; reports.mu guards it

	ack     *ingestv1.Ack // what is to be acknowledged next; nil for nothing
	rewound bool          // whether the feeder was asked to rewind and has not yet
}

// arrival is a batch that is to be proposed.
type arrival struct {
	flight
	batch    *ingestv1.Batch
	received time.Time
}

func newLocalSession(s *Service, stream ingestv1.Ingest_FeedServer, session fsm.Session) *localSession {
	return &localSession{service: s, stream: stream, session: session, arrivals: make(chan arrival, maxArrivals),
		flights: make(chan flight, maxInFlight), room: semaphore.NewWeighted(maxBytesInFlight)}
}

// serve runs a session on this node, which leads. The welcome counts as an acknowledgement for the feeder, so it waits for the
// end of a sweep like one.
func (s *Service) serve(ctx context.Context, stream ingestv1.Ingest_FeedServer, session fsm.Session) error {
	if _, err := s.awaitSweep(ctx, session.Source); err != nil {
		return unwelcomed{fmt.Errorf("wait for the end of an earlier sweep: %w", err)}
	}
	applied, _ := s.sessions.Session(session.Source, session.Epoch)
	welcome := &ingestv1.Welcome{AppliedSequence: applied, MaxBytesInFlight: maxBytesInFlight, TakesReports: true}
	if err := stream.Send(&ingestv1.FeedResponse{Response: &ingestv1.FeedResponse_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	l := newLocalSession(s, stream, session)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // the other goroutines stop at their next step
	defer s.reports.end(l)
	received, proposed := make(chan error, 1), make(chan error, 1)
	go func() { // it ends with the call at the latest: Recv knows no other end
		received <- l.receive(ctx)
		close(l.arrivals)
	}()
	go func() {
		proposed <- l.propose(ctx)
		close(l.flights)
	}()
	if err := l.acknowledge(ctx); err != nil {
		return err
	}
	if err := <-proposed; err != nil {
		return err
	}
	return <-received
}

// receive takes batches, and reports, until the feeder closes its side. What was taken before is proposed in either case.
func (l *localSession) receive(ctx context.Context) error {
	for {
		r, err := l.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := l.take(ctx, r, time.Now()); err != nil {
			return err
		}
	}
}

// take keeps a report, or lets a batch in that came at the time received.
func (l *localSession) take(ctx context.Context, r *ingestv1.FeedRequest, received time.Time) error {
	if report := r.GetReport(); report != nil {
		l.service.reports.take(l, report)
		return nil
	}
	batch := r.GetBatch()
	if batch == nil {
		return status.Error(codes.InvalidArgument, "every request after the Hello is a Batch or a Report")
	}
	octets := min(max(int64(proto.Size(batch)), maxBytesInFlight/maxArrivals), maxBytesInFlight)
	a := arrival{flight{sequence: batch.GetSequence(), octets: octets, sweep: batch.GetResyncEnd() != nil}, batch, received}
	if err := l.enter(ctx, &a.flight); err != nil {
		return err
	}
	select {
	case l.arrivals <- a: // at once: there is room
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// propose proposes what has arrived until no more comes, or one may not be stored. What was proposed before is acknowledged in
// either case.
func (l *localSession) propose(ctx context.Context) error {
	for a := range l.arrivals {
		entry, err := l.entry(a.batch, a.received)
		if err != nil {
			return err
		}
		if a.pending, err = l.service.node.Propose(ctx, entry); err != nil {
			return fmt.Errorf("propose batch %d: %w", a.sequence, err)
		}
		select {
		case l.flights <- a.flight:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// enter waits for room for a batch. The end of a resync waits until it is alone, to know how much the source has before what
// it no longer has is removed.
func (l *localSession) enter(ctx context.Context, f *flight) error {
	need := f.octets
	if f.sweep {
		need = maxBytesInFlight
	}
	if err := l.room.Acquire(ctx, need); err != nil {
		return fmt.Errorf("wait for room for batch %d: %w", f.sequence, context.Cause(ctx))
	}
	if f.sweep {
		l.room.Release(need - f.octets)
		f.before = l.service.source(l.session.Source).Bindings
	}
	return nil
}

// entry makes the log entry of a batch.
func (l *localSession) entry(batch *ingestv1.Batch, received time.Time) ([]byte, error) {
	s := l.session
	s.Sequence = batch.GetSequence()
	var entry []byte
	var err error
	switch {
	case batch.GetChanges() != nil:
		held := int64(batch.GetHeldMs()) + time.Since(received).Milliseconds()
		entry, err = l.convert.entry(s, batch.GetChanges().GetChanges(), held)
		l.count()
	case batch.GetResyncBegin() != nil:
		entry, err = fsm.AppendResyncBegin(nil, s, batch.GetResyncBegin().GetLinks())
	case batch.GetResyncEnd() != nil:
		entry, err = fsm.AppendResyncEnd(nil, s)
	default:
		return nil, status.Errorf(codes.InvalidArgument, "batch %d has no content", s.Sequence)
	}
	if err != nil {
		l.service.metrics.invalid.Inc()
		return nil, refusal(s.Sequence, err)
	}
	return entry, nil
}

// count enters what a converted batch came to, and tells the log when the first binding of a virtual network is refused.
func (l *localSession) count() {
	c := &l.convert
	l.service.metrics.converted(c)
	if c.refused > 0 && l.refused == 0 {
		l.service.log.Warn("bindings of a virtual network (OPTION_VSS, RFC 6607) are not stored; refusals are counted",
			"source", l.session.Source, "binding", c.refusedKey.String(), "metric", MetricRefused)
	}
	l.refused += c.refused
}
