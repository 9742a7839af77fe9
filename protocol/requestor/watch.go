package requestor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// activeIdle is ACTIVE_LQ_IDLE_TIMEOUT (RFC 7653 6.4): retries should not be more frequent in the long run (8.1).
	activeIdle = 60 * time.Second
	// steady is how many times Config.MinBackoff a subscription must have lasted before its end begins a new outage, in which other
	// servers are asked at once.
	steady = 10
)

// Watch subscribes to q at one of the servers (RFC 7653 8) and tells handler all that it says, until ctx ends. A subscription that ends, be
// it that the server ended it, that the connection failed or that no message came for Config.Silence, is taken up at the next server, from
// the newest base time that was told: what changed in that second is told again, and nothing is skipped. All servers must be of one
// cluster, with one clock. Another server is asked at once; between rounds through all of them is a pause (RFC 8415 15).
//
// After EventDataMissing a bulk query on a second connection to the same server brings what is missing, while changes go on to be told;
// what it does not have, and no change spoke of, is told as ended; then comes EventCatchUpComplete. Only what was told by this Watch, or
// stands in q.Table, can be told as ended: whoever keeps a table over several of them drops at that EventCatchUpComplete what this one has
// never told of.
//
// The error wraps the context's, or is *AttemptsError when every server refuses (RFC 7653 8.6.1) the subscription or TLS, or wraps ErrQuery
// or ErrTableFull, or is handler's own. handler is called one event at a time, though not always by the same goroutine, and what it takes
// long over makes the server wait.
func Watch(ctx context.Context, servers []string, config Config, q ActiveQuery, handler func(*Event) error) error {
	config.MaxBackoff = orDefault(config.MaxBackoff, activeIdle)
	config = config.withDefaults()
	if err := q.check(config.ClientID); err != nil {
		return err
	}
	all, err := newServers(servers, config)
	if err != nil {
		return err
	}
	w := &watcher{config: config, query: q, handler: handler, servers: all, table: q.Table, missing: q.Full, full: q.Full}
	if w.table == nil {
		w.table = NewReplica(0)
	}
	if q.StartTime != nil {
		w.from, w.resume = baseTime{*q.StartTime, true}, baseTime{*q.StartTime, true}
	}
	err = w.run(ctx)
	if sink, ok := errors.AsType[*sinkError](err); ok {
		return sink.err
	}
	return err
}

// watcher is one Watch.
type watcher struct {
	config  Config
	query   ActiveQuery
	handler func(*Event) error
	servers []*server
	table   *Replica
	failed  []Attempt // the last at each server since one accepted the subscription

	mu      sync.Mutex // one event at a time
	from    baseTime   // START_TIME of the next subscription
	resume  baseTime   // Event.Resume
	missing bool       // data is, and not recovered yet
	full    bool       // everything is, and no server has been asked yet
	gap     uint32     // how often data was missing
	since   uint32     // base time from which on the subscription has told everything since the last time
}

// run goes through the servers, round by round.
func (w *watcher) run(ctx context.Context) error {
	pauses := w.pauses()
	var lost *target
	for {
		again, err := w.round(ctx, lost)
		if err != nil {
			return err
		}
		if again != nil {
			lost, pauses = again, w.pauses()
			continue
		}
		lost = nil
		if !slices.ContainsFunc(w.servers, (*server).askable) {
			return &AttemptsError{Attempts: w.failed}
		}
		wait, _ := pauses.next()
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("watch: %w", ctx.Err())
		}
	}
}

func (w *watcher) pauses() *backoff {
	return &backoff{irt: w.config.MinBackoff, mrt: w.config.MaxBackoff}
}

// round asks each server once, but for the one just lost. again is the server whose subscription was a steady one and has ended: the next
// round begins at once, behind it.
func (w *watcher) round(ctx context.Context, lost *target) (again *target, err error) {
	for _, s := range slices.Clone(w.servers) {
		if !s.askable() {
			continue
		}
		if err := s.lookUp(ctx, w.config); err != nil {
			w.fail(ctx, s.given, err)
		} else if len(s.targets) > 0 {
			w.forget(s.given)
		}
		for _, t := range s.targets {
			if lost != nil && t.address == lost.address || !t.askable() {
				continue
			}
			steady, err := w.try(ctx, t)
			if err != nil {
				return nil, err
			}
			if steady {
				w.turn(s)
				return t, nil
			}
		}
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("watch: %w", ctx.Err())
	}
	return nil, nil
}

// turn makes s the last of the servers.
func (w *watcher) turn(s *server) {
	n := slices.Index(w.servers, s) + 1
	w.servers = append(slices.Clone(w.servers[n:]), w.servers[:n]...)
}

// try subscribes at one address, until that ends. steady tells that it was a good one. An error ends everything.
func (w *watcher) try(ctx context.Context, t *target) (lasting bool, err error) {
	s := &subscription{watcher: w, target: t}
	why := s.run(ctx)
	if ctx.Err() != nil {
		return false, fmt.Errorf("watch: %w", ctx.Err())
	}
	if _, ours := errors.AsType[*sinkError](why); ours {
		return false, why
	}
	if s.replied {
		if err := w.tell(&Event{Kind: EventTerminated, Server: t.name, HasBaseTime: w.resume.known, BaseTime: w.resume.seconds, Err: why}); err != nil {
			return false, err
		}
	}
	t.refused = !s.replied && refusal(why)
	w.fail(ctx, t.name, why)
	return !s.upSince.IsZero() && time.Since(s.upSince) >= steady*w.config.MinBackoff, nil
}

// fail notes and reports how an attempt ended.
func (w *watcher) fail(ctx context.Context, server string, err error) {
	if ctx.Err() != nil {
		return
	}
	w.forget(server)
	a := Attempt{Server: server, Err: err}
	w.failed = append(w.failed, a)
	w.config.Report(a)
}

// forget forgets how the last attempt ended.
func (w *watcher) forget(server string) {
	w.failed = slices.DeleteFunc(w.failed, func(a Attempt) bool { return a.Server == server })
}

// accepted is called when a server has accepted the subscription: those that did not are worth asking again one day.
func (w *watcher) accepted() {
	w.failed = nil
	for _, s := range w.servers {
		for _, t := range s.targets {
			t.refused = false
		}
	}
}

// tell hands an event over. The caller holds mu, or nothing else runs.
func (w *watcher) tell(e *Event) error {
	if !e.Recovered { // what a recovery tells is in the table already
		if err := w.table.Apply(e); err != nil {
			return &sinkError{err}
		}
	}
	e.HasResume, e.Resume = w.resume.known, w.resume.seconds
	if err := w.handler(e); err != nil {
		return &sinkError{err}
	}
	return nil
}

// advance notes that everything up to a base time has been told.
func (w *watcher) advance(base uint32) {
	w.from = baseTime{base, true}
	if !w.missing {
		w.resume = w.from
	}
}

// miss begins to recover missing data, from base on.
func (w *watcher) miss(base uint32) {
	w.missing, w.since = true, base
	w.gap++
	w.table.openGap()
}
