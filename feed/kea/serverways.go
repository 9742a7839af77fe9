package kea

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// wayRun is a way of the present run.
type wayRun struct {
	way     way
	file    bool // the lease file's
	standby bool // makes a statement only when it is asked for: after each of the lease file's
	ring    chan struct{}
	glances chan struct{} // capacity 1: Kea may have ended or begun
	chunks  chan chunk

	mu      sync.Mutex
	failure string
}

func newWayRun(file, standby bool) *wayRun {
	return &wayRun{file: file, standby: standby, ring: make(chan struct{}, 1), glances: make(chan struct{}, 1), chunks: make(chan chunk)}
}

// newWays makes the ways that the configuration has: the lease file before pages.
func (s *Server) newWays() (ways []*wayRun) {
	add := func(make func(glances <-chan struct{}) way, file bool) {
		w := newWayRun(file, len(ways) > 0)
		w.way = make(w.glances)
		ways = append(ways, w)
	}
	if s.config.Leases != "" {
		links := subnets{control: s.config.Control, file: s.config.KeaConfig, logger: s.log}
		add(func(glances <-chan struct{}) way {
			return newFileWay(newFollower(followConfig{path: s.config.Leases, logger: s.log, report: s.badLine}), s.config.Control, links, glances)
		}, true)
	}
	if s.config.Control != nil {
		add(func(glances <-chan struct{}) way {
			return newWalk(walkConfig{control: s.config.Control, keaConfig: s.config.KeaConfig, page: s.config.Page, every: s.config.Resync, glances: glances,
				once: s.config.Leases != "", report: s.badRecord, logger: s.log})
		}, false)
	}
	return ways
}

// trouble is why it does not get on.
func (w *wayRun) trouble() string {
	w.mu.Lock()
	failure := w.failure
	w.mu.Unlock()
	if failure != "" {
		return failure
	}
	return w.way.trouble()
}

func (w *wayRun) fail(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failure = text
}

// want asks for a full statement.
func (w *wayRun) want() {
	select {
	case w.ring <- struct{}{}:
	default:
	}
}

// run reads until ctx ends, and begins again after a failure. A way that stands by makes one statement whenever it is asked for.
func (w *wayRun) run(ctx context.Context, log *slog.Logger) {
	const first, last = time.Second, time.Minute
	for wait := first; ; wait = min(2*wait, last) {
		if w.standby {
			select {
			case <-w.ring:
			case <-ctx.Done():
				return
			}
		}
		err := w.way.read(ctx, w.ring, w.out)
		switch {
		case ctx.Err() != nil || (err == nil && !w.standby):
			return
		case err == nil:
			wait = first / 2
			continue
		}
		w.fail(err.Error())
		log.Error("Reading Kea's leases failed and is begun again", "error", err, "wait", wait)
		if pauseFor(ctx, wait/2+rand.N(wait/2+1)) != nil {
			return
		}
		w.fail("")
		if w.standby {
			w.want()
		}
	}
}

func (w *wayRun) out(ctx context.Context, c chunk) error {
	select {
	case w.chunks <- c:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
