package upstream

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/leasehold/leasehold/feed"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// linger is how long what was stated waits for more before it is sent.
const linger = 10 * time.Millisecond

// sinkError is an error of the sink, which ends the source.
type sinkError struct{ err error }

func (e *sinkError) Error() string { return e.err.Error() }
func (e *sinkError) Unwrap() error { return e.err }

// fatal is the error of the sink in err, as the sink gave it.
func fatal(err error) error {
	if s, ok := errors.AsType[*sinkError](err); ok {
		return s.err
	}
	return nil
}

// teller states to the sink, in the course of one statement, what the messages of the server come to. Its methods may be called by several
// goroutines.
type teller struct {
	source    *Source
	ctx       context.Context // of Source.Run: what waits for the sink ends with it, not with a subscription
	statement uint32

	mu       sync.Mutex
	unread   unread
	unplaced unplaced // with a subscription to everything
	sink     feed.Sink
	change   *change
	news     []news
	dirty    chan struct{} // of capacity 1: something was stated
	stop     chan struct{}
	running  sync.WaitGroup
}

// begin begins a full statement.
func (s *Source) begin(ctx context.Context, sink feed.Sink) (*teller, error) {
	s.statement++
	skew, _ := s.clock.skew()
	s.known.expire(time.Now().Add(skew).Unix() - arrivalJitter)
	t := &teller{source: s, ctx: ctx, statement: s.statement, sink: sink, change: newChange(), dirty: make(chan struct{}, 1), stop: make(chan struct{})}
	if s.config.Everything {
		t.unplaced = unplaced{}
	}
	defined := s.config.defined()
	if err := sink.BeginResync(ctx, len(defined) > 0); err != nil {
		return nil, err
	}
	for _, l := range defined {
		if err := sink.Change(ctx, l); err != nil {
			return nil, err
		}
	}
	t.running.Go(t.flush)
	return t, nil
}

// close ends the statement where it is: what was stated is sent, and nothing is removed.
func (t *teller) close() error {
	close(t.stop)
	t.running.Wait()
	return t.sink.Flush(t.ctx)
}

// end ends the statement: what it did not state is gone. That is not known when clients could not be read that may have it still: then
// the statement is left at that, which is trouble.
func (t *teller) end() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := t.unread.inDoubt(t.source.known)
	t.source.troubles.set(reading, err)
	if err != nil {
		return nil
	}
	t.source.known.sweep(t.statement)
	if err := t.sink.EndResync(t.ctx); err != nil {
		return &sinkError{err}
	}
	return nil
}

// flush sends what was stated when nothing more came for a while.
func (t *teller) flush() {
	for {
		select {
		case <-t.dirty:
		case <-t.stop:
			return
		}
		select {
		case <-time.After(linger):
		case <-t.stop:
			return
		}
		t.mu.Lock()
		err := t.sink.Flush(t.ctx)
		t.mu.Unlock()
		if err != nil {
			return // the end of ctx, which the next change or close meets as well
		}
	}
}

// take states what a message of the server says. The error is a *sinkError, or errFull.
func (t *teller) take(c *requestor.Client, from origin) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.Flaw != nil {
		t.source.refuse(c, netip.Prefix{}, c.Flaw)
	}
	if c.Unreadable {
		t.unread.add(c.DUID)
		return nil
	}
	if len(c.DUID) == 0 || noDUID(c.DUID) {
		return nil
	}
	m := t.describe(c, from)
	t.collect(&m)
	t.link(&m)
	moved := false
	for i := range t.news {
		n := &t.news[i]
		moved = moved || n.ended || !n.mine || !n.same
	}
	for i := range t.news {
		var err error
		switch n := &t.news[i]; {
		case !n.ended:
			err = t.upsert(&m, n, moved)
		case from.live:
			err = t.ended(&m, n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// upsert states a binding. moved tells whether the message has one whose ends have moved, or that has ended: a newer transaction is then
// its.
func (t *teller) upsert(m *message, n *news, moved bool) error {
	e := entry{lease: n.lease, client: m.client, statement: t.statement, link: m.on, teller: int16(m.query), holders: 1 << (m.query % 64)}
	again := (n.mine || n.other) && n.old.statement == t.statement && n.old.teller != e.teller // another query has stated it already
	if again && n.last+m.jitter < n.old.last {
		if n.mine {
			n.old.holders |= e.holders
			return t.put(n.place, n.old)
		}
		return nil // older than what is known
	}
	unchanged := n.same && (moved || near(n.last, n.old.last, m.jitter))
	if unchanged {
		e.lease = n.old.lease
	}
	if n.mine && n.old.statement == t.statement {
		e.holders |= n.old.holders
	}
	if again && unchanged {
		n.old.holders = e.holders
		return t.put(n.place, n.old)
	}
	if err := t.put(n.place, e); err != nil {
		return err
	}
	c := t.change.upsert(t, m, n.place, &e)
	t.unplaced.note(n.place, &e, c.GetUpsert())
	return t.state(c)
}

func (t *teller) put(p place, e entry) error { return t.source.known.put(p, e) }

// ended states that a binding has ended, when no other subscription holds it: a client that moves from one relay to another has ended for
// the one's and begun for the other's, in whatever order they tell.
func (t *teller) ended(m *message, n *news) error {
	if !n.mine {
		return nil // somebody else's, or never stated
	}
	if n.old.holders &^= 1 << (m.query % 64); n.old.holders != 0 {
		return t.put(n.place, n.old)
	}
	delete(t.source.known.entries, n.place)
	delete(t.unplaced, n.place)
	return t.state(t.change.end(t, m, n.place, &n.old))
}

// state states a change.
func (t *teller) state(c *ingestv1.Change) error {
	if err := t.sink.Change(t.ctx, c); err != nil {
		return &sinkError{err}
	}
	select {
	case t.dirty <- struct{}{}:
	default:
	}
	return nil
}
