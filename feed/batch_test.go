package feed

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// fill makes a sink over a window of its own, and takes what it pushes.
func fill(t *testing.T, config Config, now func() time.Time, state func(*sink)) []*batch {
	t.Helper()
	config.Source, config.Cluster = "dev", []string{"x"}
	config, err := config.complete()
	if err != nil {
		t.Fatal(err)
	}
	w := newWindow(1 << 30)
	s := &sink{config: config, window: w, bodies: newBodies(config.BatchOctets), now: now, refused: func(*ingestv1.Change, error) {}, stated: func(time.Time) {}}
	state(s)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w.pending
}

// request encodes a batch as a session sends it.
func encoded(b *batch, sequence uint64, now time.Time) []byte {
	return append(b.appendHeader(nil, sequence, now), b.body.ReadOnlyData()...)
}

func TestWhatIsSentIsTheMessage(t *testing.T) {
	start := time.Now()
	changes := []*ingestv1.Change{
		leaseOf(1), leaseOf(2),
		{Change: &ingestv1.Change_End{End: &ingestv1.End{Address: make([]byte, 16), Reason: ingestv1.Reason_REASON_RELEASED, AgeMs: -5}}},
		{Change: &ingestv1.Change_RemoveLink{RemoveLink: "subnet 9"}},
	}
	got := fill(t, Config{}, func() time.Time { return start }, func(s *sink) {
		for _, err := range []error{s.BeginResync(t.Context(), true), s.BeginResync(t.Context(), false)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range changes {
			if err := s.Change(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.EndResync(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	want := []*ingestv1.Batch{
		{Content: &ingestv1.Batch_ResyncBegin{ResyncBegin: &ingestv1.ResyncBegin{Links: true}}},
		{Content: &ingestv1.Batch_ResyncBegin{ResyncBegin: &ingestv1.ResyncBegin{}}},
		{Content: &ingestv1.Batch_Changes{Changes: &ingestv1.Changes{Changes: changes}}},
		{Content: &ingestv1.Batch_ResyncEnd{ResyncEnd: &ingestv1.ResyncEnd{}}},
	}
	if len(got) != len(want) {
		t.Fatalf("%d batches, want %d", len(got), len(want))
	}
	for i, b := range got {
		for _, tc := range []struct {
			sequence uint64
			held     time.Duration
			heldMS   uint32
		}{{1, 0, 0}, {300, 1500 * time.Millisecond, 1500}, {1<<64 - 1, 1 << 62, 1<<32 - 1}, {7, -time.Hour, 0}} {
			request := new(ingestv1.FeedRequest)
			if err := proto.Unmarshal(encoded(b, tc.sequence, start.Add(tc.held)), request); err != nil {
				t.Fatal(err)
			}
			want[i].Sequence, want[i].HeldMs = tc.sequence, tc.heldMS
			if diff := cmp.Diff(want[i], request.GetBatch(), protocmp.Transform()); diff != "" {
				t.Errorf("batch %d (-want +got):\n%s", i, diff)
			}
		}
	}
}

func TestBatchesAreBounded(t *testing.T) {
	count := func(batches []*batch) (sizes []int) {
		for _, b := range batches {
			sizes = append(sizes, b.tally.changes())
		}
		return sizes
	}
	state := func(n int) func(*sink) {
		return func(s *sink) {
			for i := range n {
				if err := s.Change(t.Context(), leaseOf(i)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	one := proto.Size(&ingestv1.Changes{Changes: []*ingestv1.Change{leaseOf(0)}})
	if diff := cmp.Diff([]int{4, 4, 2}, count(fill(t, Config{BatchChanges: 4}, time.Now, state(10)))); diff != "" {
		t.Errorf("by changes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{3, 3, 3, 1}, count(fill(t, Config{BatchOctets: 4*one - 1}, time.Now, state(10)))); diff != "" {
		t.Errorf("by octets (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{1, 1, 1}, count(fill(t, Config{BatchOctets: 1}, time.Now, state(3)))); diff != "" {
		t.Errorf("larger than a batch (-want +got):\n%s", diff)
	}
	for _, b := range fill(t, Config{BatchChanges: MaxBatchChanges}, time.Now, state(3000)) {
		if b.body.Len() > 128<<10 {
			t.Errorf("a batch of %d octets", b.body.Len())
		}
	}
}

func TestChangeThatCannotBeSent(t *testing.T) {
	var refused []error
	large := leaseOf(1)
	large.GetUpsert().Options = make([]byte, MaxBatchOctets)
	text := &ingestv1.Change{Change: &ingestv1.Change_RemoveLink{RemoveLink: "\xff"}}
	got := fill(t, Config{}, time.Now, func(s *sink) {
		s.refused = func(_ *ingestv1.Change, err error) { refused = append(refused, err) }
		for _, c := range []*ingestv1.Change{leaseOf(0), large, text, leaseOf(2)} {
			if err := s.Change(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
	})
	if len(refused) != 2 || !errors.Is(refused[0], errTooLarge) || refused[1] == nil {
		t.Errorf("refused %v", refused)
	}
	want, err := proto.Marshal(&ingestv1.Changes{Changes: []*ingestv1.Change{leaseOf(0), leaseOf(2)}})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || !bytes.Equal(got[0].body.ReadOnlyData(), want) {
		t.Errorf("%d batches", len(got))
	}
}

// TestAgesCountFromTheBatch: Now stays while a batch is filled, and a change that begins the next batch keeps the instant that it
// was stated by.
func TestAgesCountFromTheBatch(t *testing.T) {
	now := time.Now()
	clock := func() time.Time { now = now.Add(time.Second); return now }
	var first, again, second, third time.Time
	one := proto.Size(&ingestv1.Changes{Changes: []*ingestv1.Change{leaseOf(0)}})
	batches := fill(t, Config{BatchOctets: 2 * one}, clock, func(s *sink) {
		change := func(i int) {
			if err := s.Change(t.Context(), leaseOf(i)); err != nil {
				t.Fatal(err)
			}
		}
		first = s.Now()
		change(0)
		again = s.Now()
		change(1)
		second = s.Now() // the age of the change that overflows the batch
		change(2)
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		third = s.Now()
		change(3)
	})
	if len(batches) != 3 || !first.Equal(again) || !first.Equal(second) || !third.After(second) {
		t.Fatalf("%d batches; %v %v %v %v", len(batches), first, again, second, third)
	}
	for i, want := range []time.Time{first, second, third} {
		if !batches[i].taken.Equal(want) {
			t.Errorf("batch %d counts from %v, want %v", i, batches[i].taken, want)
		}
	}
}

func TestBodiesAreUsedAgain(t *testing.T) {
	p := newBodies(1 << 12)
	body := p.Get(0)
	*body = append(*body, make([]byte, 2000)...)
	b := mem.NewBuffer(body, p)
	b.Ref()
	b.Free() // the window's
	b.Free() // gRPC's
	if again := p.Get(0); len(*again) != 0 || cap(*again) < 1<<12 {
		t.Errorf("a body of length %d, room %d", len(*again), cap(*again))
	}
	large := make([]byte, 0, 1<<20)
	p.Put(&large)
	if got := p.Get(0); cap(*got) > 1<<14 {
		t.Errorf("a body that grew to %d octets was kept", cap(*got))
	}
}

// TestSourceWaits: what is not acknowledged is bounded.
func TestSourceWaits(t *testing.T) {
	w := newWindow(1000)
	body := func(n int) *batch { return &batch{content: changes, body: mem.SliceBuffer(make([]byte, n))} }
	if err := w.push(t.Context(), body(5000)); err != nil {
		t.Fatal(err) // too large for the limit: alone it may
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.push(ended, body(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("a push over the limit did not wait: %v", err)
	}
	if _, err := w.resume(0, 1<<20); err != nil {
		t.Fatal(err)
	}
	if b, sequence := w.take(); b == nil || sequence != 1 {
		t.Fatalf("took %v, %d", b, sequence)
	}
	pushed := make(chan error, 1)
	go func() { pushed <- w.push(t.Context(), body(400)) }()
	if _, err := w.acknowledge(1); err != nil {
		t.Fatal(err)
	}
	if err := <-pushed; err != nil {
		t.Fatal(err)
	}
}

func TestAnswersOutOfOrder(t *testing.T) {
	w := newWindow(1000)
	for range 3 {
		if err := w.push(t.Context(), &batch{content: resyncEnd, body: mem.SliceBuffer(nil)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.resume(0, 1<<20); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w.take()
	}
	if _, err := w.acknowledge(3); !errors.Is(err, errProtocol) {
		t.Errorf("acknowledgement of what was not sent: %v", err)
	}
	for _, next := range []uint64{0, 4} {
		if err := w.rewind(next); !errors.Is(err, errProtocol) {
			t.Errorf("rewind to %d: %v", next, err)
		}
	}
	if done, err := w.acknowledge(1); err != nil || w.base != 2 || done.changes() != 0 {
		t.Errorf("acknowledgement: %v, base %d", err, w.base)
	}
	if _, err := w.acknowledge(1); err != nil {
		t.Errorf("acknowledgement again: %v", err)
	}
	for _, applied := range []uint64{0, 3} {
		if _, err := w.resume(applied, 1); !errors.Is(err, errEpochLost) {
			t.Errorf("welcome at %d: %v", applied, err)
		}
	}
}
