package feed

import (
	"context"
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

// Persistent is a source that begins again when the one inside fails: a file that is not there yet, a server that is being
// installed. Meanwhile its trouble is the failure. It ends when the source inside has said everything, or with ctx.
func Persistent(source Source, log *slog.Logger) Reporter {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &persistent{source: source, log: log}
}

type persistent struct {
	source Source
	log    *slog.Logger

	mu      sync.Mutex
	trouble string
}

// Run runs the source inside, again and again until it succeeds.
func (p *persistent) Run(ctx context.Context, sink Sink) error {
	for wait := persistMin; ; wait = min(2*wait, persistMax) {
		p.set("")
		began := time.Now()
		err := p.source.Run(ctx, sink)
		if err == nil || ctx.Err() != nil {
			return err
		}
		p.set(err.Error())
		if err := sink.Flush(ctx); err != nil { // what was stated is not to wait for the next beginning
			return err
		}
		if time.Since(began) > persistMax {
			wait = persistMin
		}
		p.log.Error("The source failed and will begin again", "error", err, "wait", wait)
		timer := time.NewTimer(wait/2 + rand.N(wait/2+1))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

func (p *persistent) set(trouble string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trouble = trouble
}

// Condition is that of the source inside, with the failure as its trouble while it waits.
func (p *persistent) Condition() (c Condition) {
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
