package feed

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// How long a source that failed waits until it begins again: the first time, and at most.
const (
	persistMin = time.Second
	persistMax = time.Minute
)

// PersistentSource is a source that begins again: when the one inside fails (a file that is not there yet, a server that is being
// installed), and when it is asked to.
type PersistentSource struct {
	source Source
	log    *slog.Logger
	again  chan struct{} // capacity 1

	mu      sync.Mutex
	trouble string
}

var _ Reporter = (*PersistentSource)(nil)

// errAgain is why a run is broken off that did not fail.
var errAgain = errors.New("everything is to be stated again")

// Persistent makes a source of another one. While that one has failed and waits, the failure is its trouble. It ends when the source
// inside has said everything, or with the context of Run. A nil logger is silent.
func Persistent(source Source, log *slog.Logger) *PersistentSource {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &PersistentSource{source: source, log: log, again: make(chan struct{}, 1)}
}

// Again has the source state everything again: its run is broken off, and begins anew without a wait. It may be called at any time
// from any goroutine; between runs it counts for the next.
func (p *PersistentSource) Again() {
	select {
	case p.again <- struct{}{}:
	default: // asked for already
	}
}

// Run runs the source inside, again and again until it succeeds.
func (p *PersistentSource) Run(ctx context.Context, sink Sink) error {
	for wait := persistMin; ; wait = min(2*wait, persistMax) {
		p.set("")
		began := time.Now()
		err := p.once(ctx, sink)
		if err == nil || ctx.Err() != nil {
			return err
		}
		again := errors.Is(err, errAgain)
		if !again {
			p.set(err.Error())
		}
		if err := sink.Flush(ctx); err != nil { // what was stated is not to wait for the next beginning
			return err
		}
		if time.Since(began) > persistMax || again {
			wait = persistMin
		}
		if again {
			continue
		}
		p.log.Error("The source failed and will begin again", "error", err, "wait", wait)
		if err := p.rest(ctx, wait/2+rand.N(wait/2+1)); err != nil {
			return err
		}
	}
}

// once runs the source inside once. The error wraps errAgain when it was broken off for that.
func (p *PersistentSource) once(ctx context.Context, sink Sink) error {
	inner, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-p.again:
			cancel(errAgain)
		case <-inner.Done():
		}
	})
	err := p.source.Run(inner, sink)
	cancel(nil)
	watching.Wait()
	if cause := context.Cause(inner); err != nil && ctx.Err() == nil && errors.Is(cause, errAgain) {
		return cause
	}
	return err
}

// rest waits, unless it is asked to begin again. Its error is the end of ctx.
func (p *PersistentSource) rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.again:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

func (p *PersistentSource) set(trouble string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trouble = trouble
}

// Condition is that of the source inside, with the failure as its trouble while it waits.
func (p *PersistentSource) Condition() (c Condition) {
	if r, ok := p.source.(Reporter); ok {
		c = r.Condition()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.trouble != "" {
		c.Trouble = p.trouble
	}
	return c
}
