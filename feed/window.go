package feed

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// errProtocol is wrapped when a node's answers contradict what was sent.
var errProtocol = errors.New("answer out of order")

// window holds the batches of one epoch that are not acknowledged, in order. The first has the number base. The source's
// goroutine pushes, a session takes and is answered.
//
//	acknowledged │ sent in this session │ not sent │
//	        base ┘                 next ┘
type window struct {
	limit int // octets

	mu       sync.Mutex
	pending  []*batch
	base     uint64 // number of pending[0]
	next     int    // index in pending of what is sent next
	sent     uint64 // the highest number ever sent
	octets   int    // of memory, of all pending
	flight   int    // octets of pending[:next]
	allowed  int    // octets that may be in flight
	suspects int    // batches from base on that go one at a time, to find one that is refused
	closed   bool   // whether the source has said everything

	room  chan struct{} // capacity 1: signalled when octets fell
	ready chan struct{} // capacity 1: signalled when take may have something, or done may be true
}

func newWindow(limit int) *window {
	return &window{limit: limit, base: 1, room: make(chan struct{}, 1), ready: make(chan struct{}, 1)}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// push adds a batch at the end. It waits while more than the limit is pending, so that at most the limit and one batch are.
func (w *window) push(ctx context.Context, b *batch) error {
	for {
		w.mu.Lock()
		if w.octets == 0 || w.octets+b.memory() <= w.limit {
			w.pending = append(w.pending, b)
			w.octets += b.memory()
			w.mu.Unlock()
			signal(w.ready)
			return nil
		}
		w.mu.Unlock()
		select {
		case <-w.room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// receipt gives a channel that is closed when everything pushed so far is acknowledged.
func (w *window) receipt() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := make(chan struct{})
	if len(w.pending) == 0 {
		close(c)
		return c
	}
	last := w.pending[len(w.pending)-1]
	last.receipts = append(last.receipts, c)
	return c
}

// close tells that nothing more will be pushed.
func (w *window) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	signal(w.ready)
}

// done tells whether everything that will ever be pushed is acknowledged.
func (w *window) done() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed && len(w.pending) == 0
}

// idle tells whether nothing waits for an acknowledgement.
func (w *window) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pending) == 0
}

// take gives the next batch to send and its number, or nil while there is none or enough is in flight. A batch larger than all
// that is allowed in flight goes alone. The caller frees the body when it has sent it: a batch that is sent again may be
// acknowledged, for the first time that it was sent, meanwhile.
func (w *window) take() (*batch, uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next == len(w.pending) || (w.suspects > 0 && w.next > 0) {
		return nil, 0
	}
	b := w.pending[w.next]
	if w.next > 0 && w.flight+b.wire() > w.allowed {
		return nil, 0
	}
	sequence := w.base + uint64(w.next)
	w.next++
	w.flight += b.wire()
	w.sent = max(w.sent, sequence)
	b.body.Ref()
	return b, sequence
}

// resume begins a session in which the node says that everything up to applied was applied, and how much may be in flight. It
// gives what that acknowledges. The error is errEpochLost when the node knows less than it had acknowledged, or more than was
// sent: then these are not the numbers of this epoch any more.
func (w *window) resume(applied uint64, allowed int) (tally, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if applied+1 < w.base || applied > w.sent {
		return tally{}, fmt.Errorf("batch %d is said to be the newest, between %d and %d are possible: %w", applied, w.base-1, w.sent, errEpochLost)
	}
	w.next, w.flight, w.allowed = 0, 0, allowed
	return w.drop(int(applied + 1 - w.base)), nil
}

// acknowledge forgets everything up to a number, and gives what that was: nothing, when a batch that was sent twice is
// acknowledged again.
func (w *window) acknowledge(sequence uint64) (tally, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if sequence > w.sent {
		return tally{}, fmt.Errorf("acknowledgement of batch %d, the newest sent is %d: %w", sequence, w.sent, errProtocol)
	}
	if sequence < w.base {
		return tally{}, nil
	}
	return w.drop(int(sequence + 1 - w.base)), nil
}

// drop forgets the first n batches.
func (w *window) drop(n int) (sum tally) {
	for i, b := range w.pending[:n] {
		sum.leases += b.tally.leases
		sum.ends += b.tally.ends
		sum.links += b.tally.links
		sum.resyncs += b.tally.resyncs
		w.octets -= b.memory()
		if i < w.next {
			w.flight -= b.wire()
		}
		b.acknowledged()
		b.body.Free()
	}
	clear(w.pending[:n])
	w.pending = w.pending[n:]
	w.base += uint64(n)
	w.next = max(0, w.next-n)
	w.suspects = max(0, w.suspects-n)
	signal(w.room)
	signal(w.ready)
	return sum
}

// rewind makes the batch of this number the next to be sent.
func (w *window) rewind(sequence uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if sequence < w.base || sequence > w.base+uint64(w.next) {
		return fmt.Errorf("asked to send again from batch %d, %d to %d are open: %w", sequence, w.base, w.base+uint64(w.next)-1, errProtocol)
	}
	for _, b := range w.pending[int(sequence-w.base):w.next] {
		w.flight -= b.wire()
	}
	w.next = int(sequence - w.base)
	signal(w.ready)
	return nil
}

// lag is the age of the oldest change that is not acknowledged; 0 when all are.
func (w *window) lag(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.pending) == 0 {
		return 0
	}
	return max(0, now.Sub(w.pending[0].taken))
}

// waiting is how many changes are not acknowledged, and the octets of memory that they take.
func (w *window) waiting() (changes, octets int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.pending {
		changes += b.tally.changes()
	}
	return changes, w.octets
}

// owed tells whether the node is to answer: an acknowledgement or, when all is acknowledged, the end of the stream.
func (w *window) owed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next > 0 || (w.closed && len(w.pending) == 0)
}

// inFlight is how many batches are sent and not acknowledged.
func (w *window) inFlight() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next
}
