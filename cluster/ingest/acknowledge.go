package ingest

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/leasehold/leasehold/cluster"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// flight is a batch that was proposed and is not acknowledged yet.
type flight struct {
	sequence uint64
	octets   int64
	sweep    bool   // whether it is the end of a resync
	before   uint64 // then: how many bindings the source had
	pending  *cluster.Pending
}

// acknowledge waits for batches in order and tells the feeder, until no more come. What is done by the time that it tells is
// told together.
func (l *localSession) acknowledge(ctx context.Context) error {
	for {
		f, more, err := l.next(ctx)
		if err != nil {
			return err
		}
		if !more {
			return l.sendAck()
		}
		if !f.done() {
			if err := l.sendAck(); err != nil {
				return err
			}
		}
		if err := l.settle(ctx, f); err != nil {
			return err
		}
	}
}

// next is the next batch in flight; before it waits for one it sends what is to be acknowledged.
func (l *localSession) next(ctx context.Context) (f flight, more bool, err error) {
	select {
	case f, more = <-l.flights:
		return f, more, nil
	default:
	}
	if err := l.sendAck(); err != nil {
		return f, false, err
	}
	select {
	case f, more = <-l.flights:
		return f, more, nil
	case <-ctx.Done():
		return f, false, context.Cause(ctx)
	}
}

func (f *flight) done() bool {
	select {
	case <-f.pending.Done():
		return true
	default:
		return false
	}
}

// settle waits for one batch and adds what it came to to the next acknowledgement.
func (l *localSession) settle(ctx context.Context, f flight) error {
	result, err := f.pending.Wait(ctx)
	l.room.Release(f.octets)
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("batch %d: %w", f.sequence, context.Cause(ctx))
	case err != nil:
		return fmt.Errorf("batch %d: %w", f.sequence, err)
	case result.Err != nil:
		return status.Errorf(codes.ResourceExhausted, "batch %d: %v", f.sequence, result.Err)
	case result.UnknownEpoch:
		return status.Errorf(codes.FailedPrecondition, "batch %d: epoch %016x of source %q is not known any more: begin a new one with a resync",
			f.sequence, l.session.Epoch, l.session.Source)
	case result.Expected != 0:
		return l.rewind(result.Expected)
	}
	l.rewound = false
	var swept uint64
	if f.sweep {
		if swept, err = l.sweep(ctx, f); err != nil {
			return err
		}
	}
	if l.ack == nil {
		l.ack = &ingestv1.Ack{Counts: &ingestv1.Counts{}}
	}
	l.ack.Sequence, l.ack.Index = max(l.ack.Sequence, f.sequence), result.Index
	c := l.ack.Counts
	c.Changed += result.Counts.Changed
	c.Unchanged += result.Counts.Unchanged
	c.Ignored += result.Counts.Ignored
	c.Swept += result.Counts.Swept + swept
	return nil
}

// sweep waits until everything that the resync no longer had is gone, also when its end was sent twice, and tells how much that
// was: by how much the source has shrunk, which is exact unless more news of the source came meanwhile.
func (l *localSession) sweep(ctx context.Context, f flight) (swept uint64, err error) {
	if err := l.sendAck(); err != nil {
		return 0, err
	}
	after, err := l.service.awaitSweep(ctx, l.session.Source)
	if err != nil {
		return 0, fmt.Errorf("batch %d: wait for the end of the sweep: %w", f.sequence, err)
	}
	return f.before - min(f.before, after.Bindings), nil
}

// rewind asks the feeder, once, to send again from the batch that was expected.
func (l *localSession) rewind(expected uint64) error {
	if l.rewound {
		return nil
	}
	if err := l.sendAck(); err != nil {
		return err
	}
	l.rewound = true
	l.service.metrics.rewinds.Inc()
	r := &ingestv1.FeedResponse_Rewind{Rewind: &ingestv1.Rewind{NextSequence: expected}}
	return l.stream.Send(&ingestv1.FeedResponse{Response: r})
}

// sendAck sends what is to be acknowledged.
func (l *localSession) sendAck() error {
	if l.ack == nil {
		return nil
	}
	r := &ingestv1.FeedResponse_Ack{Ack: l.ack}
	l.ack = nil
	l.service.metrics.acks.Inc()
	return l.stream.Send(&ingestv1.FeedResponse{Response: r})
}
