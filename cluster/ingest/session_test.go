package ingest

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/leasehold/leasehold/fsm"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// lonely is a node with its service, and the service's address.
func lonely(t *testing.T) (*lone, *Service, string) {
	t.Helper()
	n := newLone(t)
	s := New(n, n.state, nil, nil, nil)
	return n, s, serve(t, s)
}

func resyncBegin(sequence uint64) *ingestv1.Batch {
	return &ingestv1.Batch{Sequence: sequence, Content: &ingestv1.Batch_ResyncBegin{ResyncBegin: &ingestv1.ResyncBegin{}}}
}

func resyncEnd(sequence uint64) *ingestv1.Batch {
	return &ingestv1.Batch{Sequence: sequence, Content: &ingestv1.Batch_ResyncEnd{ResyncEnd: &ingestv1.ResyncEnd{}}}
}

func TestBatchesAreAcknowledgedWhenApplied(t *testing.T) {
	n, _, addr := lonely(t)
	f := call(t, addr, "kea", 1)
	if w := f.welcome(); w.GetAppliedSequence() != 0 || w.GetMaxBytesInFlight() != maxBytesInFlight {
		t.Fatalf("welcome %v", w)
	}
	for i := range 10 {
		f.changes(uint64(i+1), leases(i*100, 100)...)
	}
	got := f.acked(10)
	if want := (&ingestv1.Counts{Changed: 1000}); !cmp.Equal(got, want, protocmp.Transform()) {
		t.Errorf("counts %v, want %v", got, want)
	}
	if n.bindings() != 1000 {
		t.Errorf("%d bindings after the acknowledgement, want 1000", n.bindings())
	}
	f.changes(11, leases(0, 100)...)
	f.changes(12, ended(&ingestv1.End{Address: lease(0).Address, Duid: lease(0).Duid, Iaid: 1}), ended(&ingestv1.End{Address: lease(5000).Address}))
	if err := f.CloseSend(); err != nil {
		t.Fatal(err)
	}
	got = f.acked(12)
	if want := (&ingestv1.Counts{Changed: 1, Unchanged: 100, Ignored: 1}); !cmp.Equal(got, want, protocmp.Transform()) {
		t.Errorf("counts %v, want %v", got, want)
	}
	if _, err := f.Recv(); err == nil || err.Error() != "EOF" {
		t.Errorf("session ended with %v, want io.EOF", err)
	}
}

func TestBrokenSessionIsResumed(t *testing.T) {
	n, _, addr := lonely(t)
	f := call(t, addr, "kea", 1)
	f.welcome()
	f.changes(1, leases(0, 10)...)
	f.changes(2, leases(10, 10)...)
	f.acked(2)
	f.hangUp()
	f = call(t, addr, "kea", 1)
	if w := f.welcome(); w.GetAppliedSequence() != 2 {
		t.Fatalf("welcome %v, want applied sequence 2", w)
	}
	f.changes(1, leases(0, 10)...)
	f.changes(2, leases(10, 10)...)
	f.changes(3, leases(20, 10)...)
	if got, want := f.acked(3), (&ingestv1.Counts{Changed: 10}); !cmp.Equal(got, want, protocmp.Transform()) {
		t.Errorf("counts %v, want %v: batches sent twice are applied once", got, want)
	}
	if n.bindings() != 30 {
		t.Errorf("%d bindings, want 30", n.bindings())
	}
}

func TestGapIsSentAgain(t *testing.T) {
	n, _, addr := lonely(t)
	f := call(t, addr, "kea", 1)
	f.welcome()
	f.changes(1, leases(0, 10)...)
	for s := uint64(3); s < 8; s++ {
		f.changes(s, leases(int(s)*10, 10)...)
	}
	f.acked(1)
	if r := f.answer().GetRewind(); r.GetNextSequence() != 2 {
		t.Fatalf("answer %v, want a rewind to batch 2", r)
	}
	for s := uint64(2); s < 8; s++ {
		f.changes(s, leases(int(s)*10, 10)...)
	}
	f.acked(7) // and one rewind only
	f.changes(9, leases(90, 10)...)
	if r := f.answer().GetRewind(); r.GetNextSequence() != 8 {
		t.Fatalf("answer %v, want a rewind to batch 8", r)
	}
	if n.bindings() != 70 {
		t.Errorf("%d bindings, want 70", n.bindings())
	}
}

func TestForgottenEpochIsRefused(t *testing.T) {
	n, _, addr := lonely(t)
	for epoch := uint64(1); epoch <= fsm.MaxEpochs+1; epoch++ {
		f := call(t, addr, "kea", epoch)
		f.welcome()
		f.changes(1, leases(int(epoch), 1)...)
		f.acked(1)
		f.hangUp()
	}
	f := call(t, addr, "kea", 1)
	if w := f.welcome(); w.GetAppliedSequence() != 0 {
		t.Errorf("welcome %v to a forgotten epoch", w)
	}
	f.changes(2, leases(500, 1)...)
	if err := f.failed(); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("session ended with %v, want FailedPrecondition", err)
	}
	if n.bindings() != fsm.MaxEpochs+1 {
		t.Errorf("%d bindings, want %d", n.bindings(), fsm.MaxEpochs+1)
	}
}

func TestInvalidChangeEndsTheSessionBehindWhatWasGood(t *testing.T) {
	n, s, addr := lonely(t)
	f := call(t, addr, "kea", 1)
	f.welcome()
	f.changes(1, leases(0, 10)...)
	f.changes(2, leases(10, 10)...)
	bad := lease(25)
	bad.Duid = nil
	f.changes(3, upsert(lease(24)), upsert(bad))
	f.acked(2)
	err := f.failed()
	if status.Code(err) != codes.InvalidArgument {
		t.Fatalf("session ended with %v, want InvalidArgument", err)
	}
	var info *errdetails.ErrorInfo
	for _, d := range status.Convert(err).Details() {
		if x, ok := d.(*errdetails.ErrorInfo); ok {
			info = x
		}
	}
	want := &errdetails.ErrorInfo{Reason: "INVALID_CHANGE", Domain: "leasehold", Metadata: map[string]string{"sequence": "3", "change": "1", "field": "duid"}}
	if !cmp.Equal(info, want, protocmp.Transform()) {
		t.Errorf("details %v, want %v", info, want)
	}
	if n.bindings() != 20 {
		t.Errorf("%d bindings, want 20: a batch is taken whole or not at all", n.bindings())
	}
	if got := counted(t, s.metrics.invalid); got != 1 {
		t.Errorf("counted %v invalid batches, want 1", got)
	}
}

func TestRequestsOutOfPlaceAreRefused(t *testing.T) {
	_, _, addr := lonely(t)
	hello := func(h *ingestv1.Hello) *ingestv1.FeedRequest {
		return &ingestv1.FeedRequest{Request: &ingestv1.FeedRequest_Hello{Hello: h}}
	}
	batch := func(b *ingestv1.Batch) *ingestv1.FeedRequest {
		return &ingestv1.FeedRequest{Request: &ingestv1.FeedRequest_Batch{Batch: b}}
	}
	good := hello(&ingestv1.Hello{Source: "kea", Epoch: 1})
	tests := map[string]struct {
		requests []*ingestv1.FeedRequest
		says     string
	}{
		"empty first":  {[]*ingestv1.FeedRequest{{}}, "Hello"},
		"batch first":  {[]*ingestv1.FeedRequest{batch(resyncBegin(1))}, "Hello"},
		"no source":    {[]*ingestv1.FeedRequest{hello(&ingestv1.Hello{Epoch: 1})}, "source"},
		"long source":  {[]*ingestv1.FeedRequest{hello(&ingestv1.Hello{Source: strings.Repeat("x", 256), Epoch: 1})}, "source"},
		"control":      {[]*ingestv1.FeedRequest{hello(&ingestv1.Hello{Source: "a\nb", Epoch: 1})}, "source"},
		"no epoch":     {[]*ingestv1.FeedRequest{hello(&ingestv1.Hello{Source: "kea"})}, "epoch"},
		"second hello": {[]*ingestv1.FeedRequest{good, good}, "Batch"},
		"empty later":  {[]*ingestv1.FeedRequest{good, {}}, "Batch"},
		"no content":   {[]*ingestv1.FeedRequest{good, batch(&ingestv1.Batch{Sequence: 1})}, "batch 1 has no content"},
		"no changes":   {[]*ingestv1.FeedRequest{good, batch(&ingestv1.Batch{Sequence: 1, Content: &ingestv1.Batch_Changes{}})}, "0 changes"},
		"zero changes": {[]*ingestv1.FeedRequest{good, batch(&ingestv1.Batch{Sequence: 1, Content: &ingestv1.Batch_Changes{Changes: &ingestv1.Changes{}}})}, "0 changes"},
		"sequence 0":   {[]*ingestv1.FeedRequest{good, batch(resyncBegin(0))}, "sequence 0"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := dial(t, addr)
			for _, r := range tc.requests {
				if err := f.Send(r); err != nil {
					break // refused already
				}
			}
			if err := f.failed(); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("session ended with %v, want InvalidArgument about %q", err, tc.says)
			}
		})
	}
}

func TestEndOfResyncIsAcknowledgedWhenSwept(t *testing.T) {
	n, _, addr := lonely(t)
	f := call(t, addr, "kea", 1)
	f.welcome()
	f.changes(1, leases(0, 1000)...)
	f.acked(1)
	f.batch(resyncBegin(2))
	f.changes(3, leases(0, 100)...)
	f.batch(resyncEnd(4))
	got := f.acked(4)
	if want := (&ingestv1.Counts{Unchanged: 100, Swept: 900}); !cmp.Equal(got, want, protocmp.Transform()) {
		t.Errorf("counts %v, want %v", got, want)
	}
	if n.bindings() != 100 {
		t.Errorf("%d bindings when the end was acknowledged, want 100", n.bindings())
	}
}

func TestWelcomeWaitsForTheSweep(t *testing.T) {
	n, _, addr := lonely(t)
	f := call(t, addr, "kea", 1)
	f.welcome()
	f.changes(1, leases(0, 1000)...)
	f.batch(resyncBegin(2))
	f.batch(resyncEnd(3))
	f.hangUp() // whatever of it has come through
	f = call(t, addr, "kea", 1)
	w := f.welcome()
	if w.GetAppliedSequence() == 3 && n.bindings() != 0 {
		t.Errorf("welcome says that the resync is done, and %d bindings are left", n.bindings())
	}
	for s := w.GetAppliedSequence() + 1; s <= 3; s++ {
		switch s {
		case 1:
			f.changes(1, leases(0, 1000)...)
		case 2:
			f.batch(resyncBegin(2))
		case 3:
			f.batch(resyncEnd(3))
			f.acked(3)
		}
	}
	until(t, "all is swept", func() bool { return n.bindings() == 0 })
}

func TestSlowLogSlowsTheFeederDown(t *testing.T) {
	n, _, addr := lonely(t)
	f := call(t, addr, "kea", 1)
	f.welcome()
	f.changes(1, leases(0, 10)...)
	f.acked(1)
	before, beforeOctets := n.proposals()
	open := n.state.shut()
	defer open()
	// Batches of about 100 KiB on the wire, together three times what may be in flight.
	const batches = 120
	var sending sync.WaitGroup
	sending.Go(func() {
		for i := range batches {
			in := make([]*ingestv1.Change, 25)
			for j := range in {
				l := lease(1000 + i*25 + j)
				l.Options = append([]byte{0, 16, 0x0f, 0xa0}, bytes.Repeat([]byte{byte(i), byte(j)}, 2000)...)
				in[j] = upsert(l)
			}
			f.changes(uint64(i+2), in...)
		}
	})
	until(t, "as much is in flight as may be", func() bool {
		_, octets := n.proposals()
		return octets-beforeOctets > maxBytesInFlight/4
	})
	// Nothing is acknowledged, so what was proposed stays within the limit, however long the feeder goes on.
	stable := 0
	last := 0
	until(t, "nothing more is proposed", func() bool {
		count, octets := n.proposals()
		if octets-beforeOctets > maxBytesInFlight {
			t.Fatalf("%d octets in flight, at most %d may be", octets-beforeOctets, maxBytesInFlight)
		}
		if count != last {
			stable, last = 0, count
		}
		stable++
		return stable > 100
	})
	if last-before >= batches {
		t.Fatalf("all %d batches were proposed while the log stood still", batches)
	}
	open()
	f.acked(batches + 1)
	sending.Wait()
	if want := 10 + batches*25; n.bindings() != want {
		t.Errorf("%d bindings, want %d", n.bindings(), want)
	}
}

func TestFeederThatHangsUpLeavesNothingBehind(t *testing.T) {
	n, s, addr := lonely(t)
	open := n.state.shut()
	defer open()
	f := call(t, addr, "kea", 1)
	f.welcome()
	for i := range 5 {
		f.changes(uint64(i+1), leases(i*10, 10)...)
	}
	until(t, "the batches are proposed", func() bool { c, _ := n.proposals(); return c == 5 })
	f.hangUp()
	until(t, "the session is gone", func() bool { return s.open.Load() == 0 })
	open()
	f = call(t, addr, "kea", 1)
	w := f.welcome()
	for i := w.GetAppliedSequence(); i < 5; i++ {
		f.changes(i+1, leases(int(i)*10, 10)...)
	}
	if w.GetAppliedSequence() < 5 {
		f.acked(5)
	}
	if n.bindings() != 50 {
		t.Errorf("%d bindings, want 50", n.bindings())
	}
}

func TestStoppingNodeEndsSessions(t *testing.T) {
	t.Run("service", func(t *testing.T) {
		_, s, addr := lonely(t)
		f := call(t, addr, "kea", 1)
		f.welcome()
		s.Stop()
		if err := f.failed(); status.Code(err) != codes.Unavailable {
			t.Errorf("session ended with %v, want Unavailable", err)
		}
		if err := call(t, addr, "kea", 1).failed(); status.Code(err) != codes.Unavailable {
			t.Errorf("new session ended with %v, want Unavailable", err)
		}
	})
	t.Run("node that nobody can replace goes on until it stops", func(t *testing.T) {
		n, _, addr := lonely(t)
		f := call(t, addr, "kea", 1)
		f.welcome()
		n.Drain()
		f.changes(1, leases(0, 10)...)
		f.acked(1)
	})
}
