package feed

import (
	"context"
	"testing"
	"time"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// TestStopSendsWhatWasStated: the end of the context does not take away what the source has said by then.
func TestStopSendsWhatWasStated(t *testing.T) {
	c := &cluster{}
	acked := make(chan uint64, 100)
	n := &node{cluster: c, ack: func(_ context.Context, sequence uint64) error { acked <- sequence; return nil }}
	config := testConfig(serve(t, n))
	config.Linger = patience
	source := newTold(3)
	stop := start(t, newAgent(t, config, source))
	await(t, "the resync is applied", acked, func(s uint64) bool { return s == 3 })
	stated := make(chan struct{})
	source.state <- func(ctx context.Context, sink Sink) error {
		defer close(stated)
		return sink.Change(ctx, leaseOf(70)) // not flushed
	}
	<-stated
	stop()
	mustEqual(t, "log", append(source.want(nil), describe(leaseOf(70))), c.logged())
}

// TestStopFindsAnotherNode: also when the node that has the session is lost meanwhile.
func TestStopFindsAnotherNode(t *testing.T) {
	c := &cluster{}
	acked := make(chan uint64, 100)
	ack := func(_ context.Context, sequence uint64) error { acked <- sequence; return nil }
	last := func(_ int, b *ingestv1.Batch) mischief {
		if b.GetSequence() == 4 {
			return dropBefore
		}
		return apply
	}
	config := testConfig(serve(t, &node{cluster: c, ack: ack, batch: last}), serve(t, &node{cluster: c, ack: ack}))
	config.Linger = patience
	source := newTold(3)
	stop := start(t, newAgent(t, config, source))
	await(t, "the resync is applied", acked, func(s uint64) bool { return s == 3 })
	stated := make(chan struct{})
	source.state <- func(ctx context.Context, sink Sink) error {
		defer close(stated)
		return sink.Change(ctx, leaseOf(70))
	}
	<-stated
	stop()
	mustEqual(t, "log", append(source.want(nil), describe(leaseOf(70))), c.logged())
}

// TestStopIsBounded: where nobody takes it, the agent does not wait for long.
func TestStopIsBounded(t *testing.T) {
	seen := make(chan struct{}, 1)
	n := &node{cluster: &cluster{}, batch: func(int, *ingestv1.Batch) mischief { signal(seen); return ignoreForever }}
	source := newTold(300)
	config := testConfig(serve(t, n))
	config.MaxPending = 2000 // nor is there room for the source's last words
	stop := start(t, newAgent(t, config, source))
	await(t, "the node ignores it", seen, func(struct{}) bool { return true })
	began := time.Now()
	stop()
	t.Logf("stopped after %v", time.Since(began))
}

// acknowledged waits until everything that a source has stated is acknowledged.
func acknowledged(t *testing.T, source *told) {
	t.Helper()
	receipts := make(chan (<-chan struct{}), 1)
	source.state <- func(ctx context.Context, sink Sink) error {
		r, err := sink.Receipt(ctx)
		receipts <- r
		return err
	}
	select {
	case <-<-receipts:
	case <-time.After(patience):
		t.Fatal("not everything is acknowledged")
	}
}

// TestAllNodesDown: while there is no cluster the source goes on until there is no room, then it waits; when the cluster is there
// again, every change arrives, once, in order, without a resync.
func TestAllNodesDown(t *testing.T) {
	c := &cluster{}
	var nodes []*node
	var addresses []string
	var stops []func()
	for range 3 {
		n := &node{cluster: c}
		address, stop := serveAt(t, n, "127.0.0.1:0")
		nodes, addresses, stops = append(nodes, n), append(addresses, address), append(stops, stop)
	}
	config := testConfig(addresses...)
	config.MaxPending = 20_000
	config.BackoffMax = 20 * time.Millisecond
	source := newTold(10)
	a := newAgent(t, config, source)
	stop := start(t, a)
	ready(t, a)
	const outages, each = 3, 500
	want := source.want(nil)
	for outage := range outages {
		for _, stop := range stops {
			stop()
		}
		ready(t, a, "no session with the cluster")
		stated, done := make(chan int, each), make(chan struct{})
		go func() {
			defer close(done)
			source.state <- func(ctx context.Context, sink Sink) error {
				for i := range each {
					if err := sink.Change(ctx, leaseOf(1000*(outage+1)+i)); err != nil {
						return err
					}
					stated <- i
				}
				return sink.Flush(ctx)
			}
		}()
		await(t, "the source goes on", stated, func(i int) bool { return i >= 50 })
		ready(t, a, "no session with the cluster") // again: a welcome of before may have been taken meanwhile
		if s := a.Status(); s.Lag <= 0 {
			t.Errorf("status %+v while nodes are down", s)
		}
		for i := range nodes {
			_, stops[i] = serveAt(t, nodes[i], addresses[i])
		}
		<-done
		for i := range each {
			want = append(want, describe(leaseOf(1000*(outage+1)+i)))
		}
		acknowledged(t, source)
	}
	stop()
	mustEqual(t, "log", want, c.logged())
	if got := a.Totals(); got.Epochs != 1 || source.runs != 1 || got.Refused != 0 {
		t.Errorf("totals %+v, the source ran %d times", got, source.runs)
	}
}
