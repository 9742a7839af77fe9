package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

func TestFeedsEverythingOnce(t *testing.T) {
	c := &cluster{}
	source := &list{n: 1000}
	a := newAgent(t, testConfig(serve(t, &node{cluster: c})), source)
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "log", source.want(nil), c.logged())
	got := a.Totals()
	if got.Leases != 1000 || got.Links != 1 || got.Sessions != 1 || got.Epochs != 1 || got.Refused+got.Rewinds > 0 || got.Counts.Changed != 1001 ||
		got.Batches != 2+143 || got.Index != got.Batches || got.Duration <= 0 || got.Rate() <= 0 {
		t.Errorf("totals %+v", got)
	}
	if again := a.Totals(); again != got {
		t.Errorf("totals after the end changed from %+v to %+v", got, again)
	}
}

// TestExactlyOnceInSpiteOfMischief: nodes break streams before and after applying, lose batches, rewind, end streams and forget
// epochs, all at random; in the end every change was applied once, in order.
func TestExactlyOnceInSpiteOfMischief(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			var mu sync.Mutex
			c := &cluster{}
			left := 60 // acts of mischief, so that it ends
			act := func(int, *ingestv1.Batch) mischief {
				mu.Lock()
				defer mu.Unlock()
				if left == 0 || random.IntN(4) > 0 {
					return apply
				}
				left--
				if seed%4 == 0 && random.IntN(10) == 0 {
					return forget
				}
				return []mischief{dropBefore, dropAfter, lose, endEarly, rewindTwice, apply}[random.IntN(6)]
			}
			source := &list{n: 1500}
			config := testConfig(serve(t, &node{cluster: c, batch: act}), serve(t, &node{cluster: c, batch: act, window: 1}), serve(t, &node{cluster: c, batch: act, window: 5000}))
			config.AnswerTimeout = 100 * time.Millisecond // a lost last batch is noticed by silence alone
			config.MaxPending = 20_000
			a := newAgent(t, config, source)
			if err := a.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			mustEqual(t, "log", source.want(nil), c.logged())
			c.mu.Lock() // a node that was left because it was slow may still be at work
			defer c.mu.Unlock()
			if got := a.Totals(); got.Leases != 1500 || got.Refused > 0 || got.Epochs != uint64(c.epochs) {
				t.Errorf("totals %+v, the cluster saw %d epochs", got, c.epochs)
			}
		})
	}
}

func TestAcknowledgementCoversAllBefore(t *testing.T) {
	c := &cluster{}
	source := &list{n: 700}
	last := uint64(len(source.want(nil)))
	n := &node{cluster: c, batch: func(_ int, b *ingestv1.Batch) mischief {
		if b.GetSequence()%10 == 0 || b.GetResyncEnd() != nil || b.GetSequence() >= last {
			return apply
		}
		return applySilent
	}}
	a := newAgent(t, testConfig(serve(t, n)), source)
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "log", source.want(nil), c.logged())
	if got := a.Totals(); got.Leases != 700 || got.Sessions != 1 {
		t.Errorf("totals %+v", got)
	}
}

func TestUnknownEpochBeginsAnew(t *testing.T) {
	c := &cluster{}
	source := &list{n: 300}
	n := &node{cluster: c, batch: func(n int, _ *ingestv1.Batch) mischief {
		if n == 20 {
			return forget
		}
		return apply
	}}
	a := newAgent(t, testConfig(serve(t, n)), source)
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "log", source.want(nil), c.logged())
	if got := a.Totals(); got.Epochs != 2 || source.runs != 2 || got.Leases != 300 {
		t.Errorf("totals %+v, the source ran %d times", got, source.runs)
	}
}

// TestClusterOfAnotherPast: a node that knows less than was acknowledged, or more than was sent, is not asked to go on.
func TestClusterOfAnotherPast(t *testing.T) {
	for name, applied := range map[string]uint64{"less": 0, "more": 1000} {
		t.Run(name, func(t *testing.T) {
			c := &cluster{}
			source := &list{n: 300}
			n := &node{cluster: c, batch: func(n int, b *ingestv1.Batch) mischief {
				if n == 20 {
					c.mu.Lock()
					c.applied = applied
					c.mu.Unlock()
					return dropBefore
				}
				return apply
			}}
			a := newAgent(t, testConfig(serve(t, n)), source)
			if err := a.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			mustEqual(t, "log", source.want(nil), c.logged())
			if got := a.Totals(); got.Epochs != 2 {
				t.Errorf("totals %+v", got)
			}
		})
	}
}

func TestRefusedChangeIsLeftOut(t *testing.T) {
	for _, told := range []bool{true, false} {
		for _, bad := range [][]int{{0}, {5}, {299}, {3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, {0, 100, 101, 200, 299}} {
			t.Run(fmt.Sprintf("told=%v bad=%v", told, bad), func(t *testing.T) {
				c := &cluster{}
				source := &list{n: 300}
				names := map[string]bool{}
				for _, i := range bad {
					names[describe(leaseOf(i))] = true
				}
				n := &node{cluster: c, told: told, bad: func(c *ingestv1.Change) bool { return names[describe(c)] }}
				a := newAgent(t, testConfig(serve(t, n)), source)
				if err := a.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				mustEqual(t, "log", source.want(func(i int) bool { return slices.Contains(bad, i) }), c.logged())
				if got := a.Totals(); got.Refused != uint64(len(bad)) || got.Leases != uint64(300-len(bad)) || got.Epochs != 1 {
					t.Errorf("totals %+v", got)
				}
			})
		}
	}
}

func TestRefusedChangeAmidMischief(t *testing.T) {
	c := &cluster{}
	source := &list{n: 300}
	random, left := rand.New(rand.NewPCG(1, 2)), 40
	var mu sync.Mutex
	odd := func(i int) bool { return i%31 == 3 }
	names := map[string]bool{}
	for i := range source.n {
		if odd(i) {
			names[describe(leaseOf(i))] = true
		}
	}
	n := &node{cluster: c, bad: func(c *ingestv1.Change) bool { return names[describe(c)] }, batch: func(int, *ingestv1.Batch) mischief {
		mu.Lock()
		defer mu.Unlock()
		if left > 0 && random.IntN(3) == 0 {
			left--
			return []mischief{dropBefore, dropAfter, rewindTwice, endEarly}[random.IntN(4)]
		}
		return apply
	}}
	a := newAgent(t, testConfig(serve(t, n)), source)
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "log", source.want(odd), c.logged())
}

// TestSilentNodeIsLeft: a node that does not answer is left for the next, at hello and amid batches.
func TestSilentNodeIsLeft(t *testing.T) {
	c := &cluster{}
	source := &list{n: 300}
	mute := &node{cluster: c, batch: func(n int, _ *ingestv1.Batch) mischief {
		if n >= 10 {
			return ignoreForever
		}
		return apply
	}}
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	deaf := &node{cluster: c, hello: func(*ingestv1.Hello) error { <-release; return io.EOF }}
	config := testConfig(serve(t, deaf), serve(t, mute), serve(t, &node{cluster: c}))
	config.AnswerTimeout = 50 * time.Millisecond
	a := newAgent(t, config, source)
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "log", source.want(nil), c.logged())
}

func TestBytesInFlight(t *testing.T) {
	const window = 3000
	source := &list{n: 300}
	var mu sync.Mutex
	received, acknowledged, most := 0, 0, 0
	n := &node{cluster: &cluster{}, window: window}
	n.batch = func(_ int, b *ingestv1.Batch) mischief {
		mu.Lock()
		defer mu.Unlock()
		received += proto.Size(b.GetChanges())
		most = max(most, received-acknowledged)
		if b.GetSequence()%3 == 0 || b.GetResyncBegin() != nil || b.GetResyncEnd() != nil || received-acknowledged > window-1000 {
			acknowledged = received
			return apply
		}
		return applySilent // the window fills up
	}
	a := newAgent(t, testConfig(serve(t, n)), source)
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if most <= window/2 || most > window {
		t.Errorf("up to %d octets in flight, %d are allowed", most, window)
	}
	if got := a.Totals(); got.Leases != 300 || got.Sessions != 1 {
		t.Errorf("totals %+v", got)
	}
}

func TestGivesUp(t *testing.T) {
	c := &cluster{}
	n := &node{cluster: c, hello: func(*ingestv1.Hello) error { return status.Error(codes.Unavailable, "no leader") }}
	config := testConfig(serve(t, n))
	config.GiveUp = 30 * time.Millisecond
	err := newAgent(t, config, &list{n: 1}).Run(t.Context())
	if !errors.Is(err, ErrGaveUp) || status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "no leader") {
		t.Errorf("error %v", err)
	}
}

func TestRefusedSession(t *testing.T) {
	c := &cluster{}
	n := &node{cluster: c, hello: func(*ingestv1.Hello) error { return status.Error(codes.InvalidArgument, "bad source") }}
	err := newAgent(t, testConfig(serve(t, n)), &list{n: 1}).Run(t.Context())
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "bad source") {
		t.Errorf("error %v", err)
	}
}

func TestSourceThatFails(t *testing.T) {
	broken := errors.New("the file is gone")
	c := &cluster{}
	err := newAgent(t, testConfig(serve(t, &node{cluster: c})), &list{n: 50, end: broken}).Run(t.Context())
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

func TestContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	n := &node{cluster: &cluster{}, batch: func(n int, _ *ingestv1.Batch) mischief {
		if n == 5 {
			cancel(why)
			return ignoreForever
		}
		return apply
	}}
	config := testConfig(serve(t, n))
	config.MaxPending = 2000 // the source waits, too
	if err := newAgent(t, config, &list{n: 300}).Run(ctx); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
}

// follower is a source that goes on after its resync, as fast as it is told to.
type follower struct {
	list
	next <-chan int
}

func (f *follower) Run(ctx context.Context, sink Sink) error {
	if err := f.list.Run(ctx, sink); err != nil {
		return err
	}
	for i := range f.next {
		if err := sink.Change(ctx, leaseOf(i)); err != nil {
			return err
		}
		if err := sink.Flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

func TestFollowingSource(t *testing.T) {
	c := &cluster{}
	next, acked := make(chan int), make(chan uint64, 100)
	n := &node{cluster: c, ack: func(_ context.Context, sequence uint64) error { acked <- sequence; return nil }}
	source := &follower{list: list{n: 7}, next: next}
	a := newAgent(t, testConfig(serve(t, n)), source)
	done := make(chan error, 1)
	go func() { done <- a.Run(t.Context()) }()
	for i := range 5 {
		next <- 100 + i // each is flushed: it arrives although no batch is full
		for want := uint64(4 + i + 1); <-acked < want; {
		}
	}
	close(next)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	want := source.want(nil)
	for i := range 5 {
		want = append(want, describe(leaseOf(100+i)))
	}
	mustEqual(t, "log", want, c.logged())
}

// TestAgesOfABatchSentAgain: held_ms says how old the ages are by then.
func TestAgesOfABatchSentAgain(t *testing.T) {
	c := &cluster{}
	var mu sync.Mutex
	now := time.Now()
	held := map[uint64][]uint32{}
	n := &node{cluster: c, batch: func(n int, b *ingestv1.Batch) mischief {
		mu.Lock()
		defer mu.Unlock()
		held[b.GetSequence()] = append(held[b.GetSequence()], b.GetHeldMs())
		if n == 2 {
			now = now.Add(5 * time.Second)
			return dropBefore
		}
		return apply
	}}
	source := &list{n: 5}
	config := testConfig(serve(t, n))
	a := newAgent(t, config, source)
	a.now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "log", source.want(nil), c.logged())
	if got := held[2]; len(got) != 2 || got[0] != 0 || got[1] != 5000 {
		t.Errorf("batch 2 was held for %v ms, want 0 and then 5000", got)
	}
}

// meter is a Progress that counts.
type meter struct {
	mu    sync.Mutex
	stage string
	total int64
	done  int64
}

func (m *meter) Stage(name, unit string, total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stage, m.total, m.done = name+" "+unit, total, 0
}

func (m *meter) Add(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += n
}

func TestProgress(t *testing.T) {
	m := &meter{}
	config := testConfig(serve(t, &node{cluster: &cluster{}}))
	config.Progress = m
	if err := newAgent(t, config, &list{n: 100}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m.stage != "feed dev leases" || m.total != 100 || m.done != 100 {
		t.Errorf("stage %q, %d of %d", m.stage, m.done, m.total)
	}
}

func TestBadConfiguration(t *testing.T) {
	good := testConfig("127.0.0.1:1")
	for name, change := range map[string]func(*Config){
		"no source":     func(c *Config) { c.Source = "" },
		"long source":   func(c *Config) { c.Source = strings.Repeat("x", 256) },
		"no cluster":    func(c *Config) { c.Cluster = nil },
		"large batches": func(c *Config) { c.BatchOctets = MaxBatchOctets + 1 },
		"long batches":  func(c *Config) { c.BatchChanges = MaxBatchChanges + 1 },
		"negative":      func(c *Config) { c.MaxPending = -1 },
		"backoff":       func(c *Config) { c.BackoffMin, c.BackoffMax = 2, 1 },
	} {
		c := good
		change(&c)
		if _, err := New(c, &list{}); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(good, &list{}); err != nil {
		t.Error(err)
	}
}

// TestReceipts: a receipt comes when everything before it is acknowledged, also when batches are sent again, halved and left out.
func TestReceipts(t *testing.T) {
	held := make(chan struct{})
	n := &node{cluster: &cluster{}, ack: func(ctx context.Context, sequence uint64) error {
		select {
		case <-held:
		case <-ctx.Done():
		}
		return nil
	}, bad: func(c *ingestv1.Change) bool {
		return len(c.GetUpsert().GetAddress()) == 16 && c.GetUpsert().GetAddress()[15]%3 == 0
	}}
	source := &receipts{held: held, n: 30}
	if err := newAgent(t, testConfig(serve(t, n)), source).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !source.waited || source.got != source.n {
		t.Errorf("waited %v, %d of %d receipts", source.waited, source.got, source.n)
	}
}

// receipts is a source that asks for a receipt behind every lease.
type receipts struct {
	held   chan struct{}
	n, got int
	waited bool
}

func (r *receipts) Run(ctx context.Context, sink Sink) error {
	if err := sink.BeginResync(ctx, false); err != nil {
		return err
	}
	var all []<-chan struct{}
	for i := range r.n {
		if err := sink.Change(ctx, leaseOf(i)); err != nil {
			return err
		}
		c, err := sink.Receipt(ctx)
		if err != nil {
			return err
		}
		all = append(all, c)
	}
	select {
	case <-all[0]:
	default:
		r.waited = true
	}
	close(r.held)
	for _, c := range all {
		select {
		case <-c:
			r.got++
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
