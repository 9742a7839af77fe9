package kea

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/leasehold/leasehold/fsm/binding"
)

// rereadMost bounds the leases that Kea is still to be asked for; beyond it only a full statement helps.
const rereadMost = 4096

// question is a lease that Kea is to be asked for, because nobody else can tell what is so.
type question struct {
	prefix netip.Prefix
	kind   binding.Kind
	due    time.Time
}

// finding is what Kea said.
type finding struct {
	question
	row   *row // nil: it has no such lease
	asked time.Time
	lost  bool // Kea did not answer
}

// reread asks for leases, one after the other.
type reread struct {
	wake chan struct{} // capacity 1

	mu      sync.Mutex
	waiting []question
	known   map[netip.Addr]bool
}

func newReread() *reread { return &reread{wake: make(chan struct{}, 1), known: map[netip.Addr]bool{}} }

// add puts a lease on the list; false: there is no room.
func (r *reread) add(q question) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known[q.prefix.Addr()] {
		return true // it is asked for later than now
	}
	if len(r.waiting) >= rereadMost {
		return false
	}
	r.known[q.prefix.Addr()] = true
	r.waiting = append(r.waiting, q)
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return true
}

// next is the first question. It stays on the list until it is asked: an address that comes meanwhile is asked for later than that.
func (r *reread) next() (q question, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == 0 {
		return question{}, false
	}
	return r.waiting[0], true
}

// begin takes the first question off the list: one that comes while it is asked is one more.
func (r *reread) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, r.waiting[0].prefix.Addr())
	r.waiting = r.waiting[1:]
}

// forget empties the list.
func (r *reread) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.known)
	r.waiting = nil
}

// run asks until ctx ends. complain logs, within limits.
func (r *reread) run(ctx context.Context, control *Control, complain func(string, ...any), out chan<- finding) {
	for {
		q, ok := r.next()
		if !ok {
			select {
			case <-r.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		if pauseFor(ctx, time.Until(q.due)) != nil {
			return
		}
		r.begin()
		a := finding{question: q}
		lease, found, asked, err := control.lease(ctx, q.prefix.Addr(), q.kind)
		a.asked = asked
		var refused *CommandError
		var bad *RecordError
		switch {
		case ctx.Err() != nil:
			return
		case errors.As(err, &refused), errors.As(err, &bad):
			complain("Kea does not tell a lease that it was asked for", "address", q.prefix, "error", err)
			continue
		case err != nil:
			a.lost = true
			r.forget() // a full statement follows, which tells of all
		case found:
			a.row = &lease
		}
		select {
		case out <- a:
		case <-ctx.Done():
			return
		}
	}
}
