package cluster

import (
	"context"
	"fmt"
	"sync"
)

// rounds shares one answer among all who asked before the question was put. A request that comes during a round joins the
// next: the round under way may have begun before it.
type rounds struct {
	ask  func(context.Context) (ReadIndex, error)
	wake chan struct{}

	mu   sync.Mutex
	next *round // those who wait for the next round; nil for none
	over bool   // run has ended
}

// round is one question and its answer.
type round struct {
	done   chan struct{}
	answer ReadIndex
	err    error
}

func newRounds(ask func(context.Context) (ReadIndex, error)) *rounds {
	return &rounds{ask: ask, wake: make(chan struct{}, 1)}
}

// join waits for the answer of a round that begins after the call.
func (r *rounds) join(ctx context.Context) (ReadIndex, error) {
	r.mu.Lock()
	if r.over {
		r.mu.Unlock()
		return ReadIndex{}, ErrNotRunning
	}
	if r.next == nil {
		r.next = &round{done: make(chan struct{})}
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	mine := r.next
	r.mu.Unlock()
	select {
	case <-mine.done:
		return mine.answer, mine.err
	case <-ctx.Done():
		return ReadIndex{}, fmt.Errorf("wait for read index: %w", context.Cause(ctx))
	}
}

// run asks, one round at a time, until ctx ends; then it answers whoever still waits.
func (r *rounds) run(ctx context.Context) {
	for {
		select {
		case <-r.wake:
		case <-ctx.Done():
		}
		r.mu.Lock()
		now := r.next
		r.next = nil
		r.over = ctx.Err() != nil
		over := r.over
		r.mu.Unlock()
		if now != nil {
			now.answer, now.err = r.ask(ctx)
			close(now.done)
		}
		if over {
			return
		}
	}
}
