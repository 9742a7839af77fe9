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

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/fsm"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// flight is a batch that was proposed and is not acknowledged yet.
type flight struct {
	sequence uint64
	octets   int64
	refused  uint64 // changes that may not be stored and were left out
	resync   bool   // whether it is the end of a resync
	pending  *cluster.Pending
}

// localSession is a session on the leader. One goroutine reads and proposes, another waits and acknowledges, both in order.
type localSession struct {
	service *Service
	stream  ingestv1.Ingest_FeedServer
	session fsm.Session
	flights chan flight
	room    *semaphore.Weighted // octets that may still be proposed

	rewound bool // whether the feeder was asked to rewind and has not yet
}

// serve runs a session on this node, which leads.
func (s *Service) serve(ctx context.Context, stream ingestv1.Ingest_FeedServer, session fsm.Session) error {
	applied, _ := s.sessions.Session(session.Source, session.Epoch)
	welcome := &ingestv1.Welcome{AppliedSequence: applied, MaxBytesInFlight: maxBytesInFlight}
	if err := stream.Send(&ingestv1.FeedResponse{Response: &ingestv1.FeedResponse_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	l := &localSession{service: s, stream: stream, session: session, flights: make(chan flight, maxInFlight),
		room: semaphore.NewWeighted(maxBytesInFlight)}
	ctx, cancel := context.WithCancelCause(ctx)
	acknowledged := make(chan error, 1)
	go func() {
		err := l.acknowledge(ctx)
		cancel(err) // no more is taken once one batch has failed
		acknowledged <- err
	}()
	err := l.receive(ctx)
	close(l.flights)
	if ackErr := <-acknowledged; ackErr != nil && (err == nil || ctx.Err() != nil) {
		err = ackErr
	}
	cancel(nil)
	return err
}

// receive reads batches and proposes them until the feeder closes its side.
func (l *localSession) receive(ctx context.Context) error {
	requests := make(chan *ingestv1.FeedRequest)
	failed := make(chan error, 1)
	go func() { // Recv knows no context but the call's: it ends with the call at the latest
		for {
			r, err := l.stream.Recv()
			if err != nil {
				failed <- err
				return
			}
			select {
			case requests <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case r := <-requests:
			if err := l.take(ctx, r, time.Now()); err != nil {
				return err
			}
		case err := <-failed:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// take proposes one batch.
func (l *localSession) take(ctx context.Context, r *ingestv1.FeedRequest, received time.Time) error {
	batch := r.GetBatch()
	if batch == nil {
		return status.Error(codes.InvalidArgument, "every request after the Hello is a Batch")
	}
	octets := min(int64(proto.Size(batch)), maxBytesInFlight)
	if err := l.room.Acquire(ctx, octets); err != nil {
		return context.Cause(ctx)
	}
	f := flight{sequence: batch.GetSequence(), octets: octets}
	s := l.session
	s.Sequence = batch.GetSequence()
	entry, err := l.entry(&f, s, batch, received)
	if err != nil {
		return fmt.Errorf("batch %d: %w", batch.GetSequence(), err)
	}
	if f.pending, err = l.service.node.Propose(ctx, entry); err != nil {
		return fmt.Errorf("propose batch %d: %w", batch.GetSequence(), err)
	}
	select {
	case l.flights <- f:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// entry makes the log entry of a batch.
func (l *localSession) entry(f *flight, s fsm.Session, batch *ingestv1.Batch, received time.Time) ([]byte, error) {
	switch {
	case batch.GetChanges() != nil:
		c, _ := l.service.buffers.Get().(*converter)
		if c == nil {
			c = &converter{}
		}
		defer l.service.buffers.Put(c)
		held := int64(batch.GetHeldMs()) + time.Since(received).Milliseconds()
		changes, err := c.convert(batch.GetChanges().GetChanges(), held)
		if err != nil {
			return nil, err
		}
		f.refused = c.refused
		l.service.metrics.converted(c)
		return fsm.AppendChanges(make([]byte, 0, entryEstimate(f.octets)), s, changes)
	case batch.GetResyncBegin() != nil:
		return fsm.AppendResyncBegin(nil, s, batch.GetResyncBegin().GetLinks())
	case batch.GetResyncEnd() != nil:
		f.resync = true
		return fsm.AppendResyncEnd(nil, s)
	}
	return nil, status.Error(codes.InvalidArgument, "batch without content")
}

// entryEstimate is about how long the entry of a batch will be, in octets.
func entryEstimate(octets int64) int64 { return octets + octets/8 + 128 }

// acknowledge waits for batches in order and tells the feeder. What is done by the time that it tells is told together.
func (l *localSession) acknowledge(ctx context.Context) error {
	var ack *ingestv1.Ack
	for {
		var f flight
		var ok bool
		if ack != nil {
			select {
			case f, ok = <-l.flights:
			default:
				if err := l.sendAck(&ack); err != nil {
					return err
				}
				continue
			}
		} else {
			f, ok = <-l.flights
		}
		if !ok {
			return l.sendAck(&ack)
		}
		if ack != nil && !isDone(f.pending) {
			if err := l.sendAck(&ack); err != nil {
				return err
			}
		}
		if err := l.settle(ctx, f, &ack); err != nil {
			return errors.Join(err, l.abandon())
		}
	}
}

func isDone(p *cluster.Pending) bool {
	select {
	case <-p.Done():
		return true
	default:
		return false
	}
}

// settle waits for one batch and adds what it came to to the next acknowledgement.
func (l *localSession) settle(ctx context.Context, f flight, ack **ingestv1.Ack) error {
	result, err := f.pending.Wait(ctx)
	l.room.Release(f.octets)
	switch {
	case err != nil:
		return fmt.Errorf("batch %d: %w", f.sequence, err)
	case result.Err != nil:
		return status.Errorf(codes.ResourceExhausted, "batch %d: %v", f.sequence, result.Err)
	case result.UnknownEpoch:
		return status.Errorf(codes.FailedPrecondition, "batch %d: epoch %016x is not known any more: begin a new one", f.sequence, l.session.Epoch)
	case result.Expected != 0:
		return l.rewind(result.Expected, ack)
	}
	l.rewound = false
	if *ack == nil {
		*ack = &ingestv1.Ack{Counts: &ingestv1.Counts{}}
	}
	c := (*ack).Counts
	if f.resync && !result.Duplicate {
		swept, err := l.service.awaitSweep(ctx, l.session.Source)
		if err != nil {
			return fmt.Errorf("batch %d: wait for the end of the sweep: %w", f.sequence, err)
		}
		c.Swept += swept
	}
	(*ack).Sequence, (*ack).Index = max((*ack).Sequence, f.sequence), result.Index
	c.Changed += result.Counts.Changed
	c.Unchanged += result.Counts.Unchanged
	c.Ignored += result.Counts.Ignored + f.refused
	c.Swept += result.Counts.Swept
	return nil
}

// rewind asks the feeder, once, to send again from the batch that was expected.
func (l *localSession) rewind(expected uint64, ack **ingestv1.Ack) error {
	if l.rewound {
		return nil
	}
	if err := l.sendAck(ack); err != nil {
		return err
	}
	l.rewound = true
	r := &ingestv1.FeedResponse_Rewind{Rewind: &ingestv1.Rewind{NextSequence: expected}}
	return l.stream.Send(&ingestv1.FeedResponse{Response: r})
}

func (l *localSession) sendAck(ack **ingestv1.Ack) error {
	if *ack == nil {
		return nil
	}
	r := &ingestv1.FeedResponse_Ack{Ack: *ack}
	*ack = nil
	return l.stream.Send(&ingestv1.FeedResponse{Response: r})
}

// abandon lets go of the batches behind one that failed: whether they were applied the feeder learns from its next Welcome.
func (l *localSession) abandon() error {
	for {
		select {
		case f, ok := <-l.flights:
			if !ok {
				return nil
			}
			l.room.Release(f.octets)
		default:
			return nil
		}
	}
}
