package ingest

import (
	"context"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/leasehold/leasehold/fsm"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// script is a feeder's half of a stream: what it has sent.
type script struct {
	grpc.ServerStream
	requests []*ingestv1.FeedRequest
}

// Recv gives the next, and then the end.
func (s *script) Recv() (*ingestv1.FeedRequest, error) {
	if len(s.requests) == 0 {
		return nil, io.EOF
	}
	r := s.requests[0]
	s.requests = s.requests[1:]
	return r, nil
}

// Send is not for a script.
func (s *script) Send(*ingestv1.FeedResponse) error { return io.ErrClosedPipe }

// TestBatchesAreTakenWhileNoneIsProposed: a log that stands still holds up no batch on its way here, where nobody would know how
// long it waits: it is taken, and while it waits to be proposed the ages in it go on.
func TestBatchesAreTakenWhileNoneIsProposed(t *testing.T) {
	n, s, _ := lonely(t)
	stream := &script{}
	for i := range maxArrivals {
		stream.requests = append(stream.requests, &ingestv1.FeedRequest{Request: &ingestv1.FeedRequest_Batch{Batch: &ingestv1.Batch{
			Sequence: uint64(i + 1), HeldMs: 500, Content: &ingestv1.Batch_Changes{Changes: &ingestv1.Changes{Changes: leases(i, 1)}}}}})
	}
	l := newLocalSession(s, stream, fsm.Session{Source: "kea", Epoch: 1, Sequence: 1})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := l.receive(ctx); err != nil || len(l.arrivals) != maxArrivals {
		t.Fatalf("%v; %d of %d batches are taken", err, len(l.arrivals), maxArrivals)
	}
	if count, _ := n.proposals(); count != 0 {
		t.Fatalf("%d proposals", count)
	}
	a := <-l.arrivals
	entry, err := l.entry(a.batch, a.received.Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	const clock = 10_000_000
	got, _ := applied(t, entry, clock)
	const age = 60_000 + 500 + 1000 // in the queue, at the feeder, in the batch
	if late := clock - age - int64(got.LastTransaction); late < 0 || late > patience.Milliseconds() {
		t.Errorf("last transaction at %d, %d ms before %d, want %d", got.LastTransaction, clock-int64(got.LastTransaction), clock, age)
	}
}
