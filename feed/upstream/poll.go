package upstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leasehold/leasehold/feed"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// poll is one full statement by bulk queries, one at a time. It removes what it did not state if each was answered whole; else the error
// says why not: a refusal of one query leaves it to the others to be stated, anything else leaves it at that until the server is asked
// again.
func (s *Source) poll(ctx context.Context, sink feed.Sink) (err error) {
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
	var refused error
	for i := range s.queries {
		err := s.ask(ctx, t, i)
		switch {
		case err == nil:
		case refusal(err):
			refused = err
		default:
			s.first++ // another is asked first the next time
			return err
		}
	}
	if refused != nil {
		return refused
	}
	return t.end()
}

// ask asks one query and states its answer.
func (s *Source) ask(ctx context.Context, t *teller, query int) error {
	q := &s.queries[query]
	sampled := false
	err := requestor.QueryAny(ctx, s.servers(), s.requestor(nil), q.Query, func(c *requestor.Client) error {
		if c.HasBaseTime && !sampled { // those behind it have the same
			s.clock.sample(c.BaseTime, time.Now())
		}
		sampled = true
		return t.take(c, origin{query: query, link: q.link})
	})
	if fatal(err) == nil && ctx.Err() == nil {
		s.troubles.set(q.name, err)
		if err != nil {
			s.config.Logger.Warn("A query has no whole answer; nothing is removed", "query", q.name, "error", err)
		}
	}
	return err
}

// reach looks which server can be reached, and has it asked first. A statement is not begun for nobody.
func (s *Source) reach(ctx context.Context) error {
	var errs []error
	for i, server := range s.servers() {
		conn, err := requestor.Dial(ctx, server, s.requestor(nil))
		if err == nil {
			s.first = (s.first + i) % len(s.config.Servers)
			s.troubles.set(reaching, nil)
			// Nothing was asked on it.
			_ = conn.Close()
			return nil
		}
		errs = append(errs, err)
	}
	err := fmt.Errorf("no server can be reached: %w", errors.Join(errs...))
	if ctx.Err() == nil {
		s.troubles.set(reaching, err)
	}
	return err
}
