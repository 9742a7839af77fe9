package upstream

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/leasehold/leasehold/feed"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// patience is how many times each server may fail before the first subscription to a query is given up.
const patience = 2

var (
	errDue      = errors.New("everything is to be asked for again")
	errHopeless = errors.New("no server takes the subscription")
	errRefused  = errors.New("every subscription is refused")
)

// session is subscriptions, each begun with a bulk query for everything that there is already, and one statement.
type session struct {
	source *Source
	teller *teller
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	watches  []*watch
	complete int  // watches that have told everything
	settled  int  // watches that have, or have failed to
	resting  int  // watches that were refused, and wait to be tried again
	accepted bool // whether any subscription was
	ended    bool // the statement is
	due      *time.Timer
}

// watch is one subscription.
type watch struct {
	name     string
	query    requestor.ActiveQuery
	accepted bool
	complete bool
	settled  chan struct{} // closed when it has told everything that there was, or has failed to
	failures int           // before it was first accepted
}

// subscribe runs subscriptions until everything is to be asked for anew: nil. Otherwise the error says why there are none.
func (s *Source) subscribe(ctx context.Context, sink feed.Sink) (err error) {
	if err := s.reach(ctx); err != nil {
		return err
	}
	t, err := s.begin(ctx, sink)
	if err != nil {
		return &sinkError{err}
	}
	defer func() {
		if closed := t.close(); closed != nil && fatal(err) == nil {
			err = &sinkError{closed}
		}
	}()
	within, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	x := &session{source: s, teller: t, cancel: cancel, watches: s.watches(t)}
	err = x.run(within)
	switch {
	case errors.Is(context.Cause(within), errDue) && fatal(err) == nil:
		return nil
	case errors.Is(context.Cause(within), errHopeless) && fatal(err) == nil:
		return context.Cause(within)
	}
	return err
}

// watches are the subscriptions to be made.
func (s *Source) watches(t *teller) []*watch {
	if s.config.Everything {
		q := requestor.ActiveQuery{Full: true, Strict: true, Table: requestor.NewReplica(s.config.MaxBindings)}
		q.RelayData, q.Options = true, s.config.Options
		q.Found = func(by int, c *requestor.Client) error { return t.found(by-1, c) }
		for i := range s.queries {
			q.Recover = append(q.Recover, s.queries[i].Query)
		}
		return []*watch{{name: "everything", query: q, settled: make(chan struct{})}}
	}
	var out []*watch
	for i := range s.queries {
		q := requestor.ActiveQuery{Query: s.queries[i].Query, Full: true, Strict: true, Table: requestor.NewReplica(s.config.MaxBindings)}
		out = append(out, &watch{name: s.queries[i].name, query: q, settled: make(chan struct{})})
	}
	return out
}

// run begins one subscription when the one before has told everything that there was, so that the server answers one bulk query at a time,
// and waits until all have ended.
func (x *session) run(ctx context.Context) error {
	ends := make(chan error, len(x.watches))
	var running sync.WaitGroup
	for i, w := range x.watches {
		running.Go(func() { ends <- x.follow(ctx, i, w) })
		select {
		case <-w.settled:
		case <-ctx.Done():
		}
	}
	running.Wait()
	close(ends)
	x.stop()
	var errs []error
	for err := range ends {
		if f := fatal(err); f != nil {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// stop stops the timer.
func (x *session) stop() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.due != nil {
		x.due.Stop()
	}
}

// take deals with an event of a subscription.
func (x *session) take(i int, w *watch, e *requestor.Event) error {
	s := x.source
	if e.HasBaseTime && !e.Recovered && e.Kind != requestor.EventTerminated {
		s.clock.sample(e.BaseTime, time.Now())
	}
	switch e.Kind {
	case requestor.EventChange:
		return x.teller.take(e.Client, origin{query: i, link: s.linkOf(i, e), live: true})
	case requestor.EventSubscribed:
		x.mu.Lock()
		defer x.mu.Unlock()
		w.accepted, x.accepted = true, true
		s.troubles.set(subscribing, nil)
		s.troubles.set(w.name, nil)
	case requestor.EventTerminated:
		s.troubles.set(w.name, e.Err)
	case requestor.EventDataMissing:
		s.config.Logger.Info("The server cannot tell all that has changed; everything is asked for", "query", w.name)
	case requestor.EventCatchUpComplete:
		s.troubles.set(w.name, nil)
		if e.Recovered {
			return x.completed(w)
		}
	}
	return nil
}

// completed notes that a subscription has told everything that there was; behind the last, what nobody told of is gone.
func (x *session) completed(w *watch) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !w.complete {
		w.complete = true
		x.complete++
	}
	if x.complete == len(x.watches) && !x.ended {
		x.ended = true
		if err := x.teller.end(); err != nil {
			return err
		}
	}
	x.settleLocked(w)
	return nil
}

// linkOf is the link about which was asked what an event of subscription i answers. One to everything asks about none, but its recovery does.
func (s *Source) linkOf(i int, e *requestor.Event) int {
	switch {
	case !s.config.Everything:
		return s.queries[i].link
	case e.FoundBy > 0:
		return s.queries[e.FoundBy-1].link
	}
	return noLink
}
