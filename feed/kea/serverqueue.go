package kea

import (
	"sync"
	"time"
)

// heldMost and heldOctets bound the pushes that are not acknowledged.
const (
	heldMost   = 1 << 16  // rows
	heldOctets = 64 << 20 // of the requests that they came in
	heldEarly  = 1 << 14  // rows, beyond which pushes are not answered early
)

// held is a push that is on its way to the cluster.
type held struct {
	rows    []row // that take effect, once that is ruled on
	count   int   // of all
	octets  int   // of the request
	arrived time.Time
	conn    uint64
	stated  chan (<-chan struct{}) // capacity 1: the receipt; a newer one takes the place of an older one
	receipt <-chan struct{}        // the newest; the pump's
}

// tell gives the receipt to whoever waits for it.
func (h *held) tell(receipt <-chan struct{}) {
	h.receipt = receipt
	for {
		select {
		case h.stated <- receipt:
			return
		default:
		}
		select {
		case <-h.stated:
		default:
		}
	}
}

// queue is between the listener and the pump.
type queue struct {
	ready chan struct{} // capacity 1

	mu      sync.Mutex
	waiting []*held
	rows    int // of pushes that are not acknowledged, waiting or stated
	octets  int
}

func newQueue() *queue { return &queue{ready: make(chan struct{}, 1)} }

// put appends a push; false: there is no room.
func (q *queue) put(h *held) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.rows > 0 && (q.rows+h.count > heldMost || q.octets+h.octets > heldOctets) {
		return false
	}
	q.rows += h.count
	q.octets += h.octets
	q.waiting = append(q.waiting, h)
	q.wake()
	return true
}

// wake has the pump look what there is to do.
func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// much tells whether so much waits for the cluster that Kea should wait too.
func (q *queue) much() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.rows > heldEarly
}

// take gives all that wait, in the order of arrival.
func (q *queue) take() []*held {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := q.waiting
	q.waiting = nil
	return w
}

// done tells that a push is acknowledged.
func (q *queue) done(h *held) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rows -= h.count
	q.octets -= h.octets
}
