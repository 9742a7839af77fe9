package upstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leasehold/leasehold/protocol/requestor"
)

// follow is one subscription, until it ends for good: with ctx, or with an error that ends the others too. One that every server refuses is
// tried again after a while, as long as another one goes on.
func (x *session) follow(ctx context.Context, i int, w *watch) error {
	s := x.source
	config := s.requestor(func(a requestor.Attempt) { x.failed(w, a.Err) })
	for {
		err := requestor.Watch(ctx, s.servers(), config, w.query, func(e *requestor.Event) error { return x.take(i, w, e) })
		if f := fatal(err); f != nil || errors.Is(err, errFull) || errors.Is(err, requestor.ErrTableFull) {
			x.cancel(err)
		}
		if ctx.Err() == nil {
			x.failed(w, err)
			x.settle(w)
		}
		if !refusal(err) || !x.rest(ctx) {
			return err
		}
	}
}

// rest waits until a refused subscription is worth another try, and is false when there is none: ctx has ended, or all are refused.
func (x *session) rest(ctx context.Context) bool {
	x.mu.Lock()
	x.resting++
	if x.resting == len(x.watches) {
		x.cancel(errRefused)
	}
	x.mu.Unlock()
	ok := sleep(ctx, jittered(x.source.config.polling()))
	x.mu.Lock()
	defer x.mu.Unlock()
	x.resting--
	return ok
}

// failed notes what has gone wrong with a subscription.
func (x *session) failed(w *watch, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.source.troubles.set(w.name, err)
	x.source.config.Logger.Info("A subscription failed", "query", w.name, "error", err)
	if w.accepted {
		x.settleLocked(w)
		return
	}
	if w.failures++; w.failures >= patience*len(x.source.config.Servers) {
		x.settleLocked(w)
		if !x.accepted {
			x.cancel(fmt.Errorf("%w: %w", errHopeless, err))
		}
	}
}

func (x *session) settle(w *watch) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.settleLocked(w)
}

// settleLocked lets the next subscription begin. Behind the last, the time runs until everything is asked for again.
func (x *session) settleLocked(w *watch) {
	select {
	case <-w.settled:
		return
	default:
		close(w.settled)
	}
	if x.settled++; x.settled == len(x.watches) {
		x.due = time.AfterFunc(jittered(x.source.config.Every), func() { x.cancel(errDue) })
	}
}
