package kea

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// maxChunk is how many rows of a page are passed on at once, so that what is pushed meanwhile does not wait for long.
const maxChunk = 500

// statement makes one full statement: it begins again until it has got to its end. The error is the end of ctx, or out's.
func (w *walk) statement(ctx context.Context, reason string, out func(context.Context, chunk) error) error {
	for wait := w.config.retry; ; wait = min(2*wait, lastRetry) {
		w.config.logger.Info("Kea's leases are read", "reason", reason)
		err := w.attempt(ctx, out)
		var fault *faultError
		w.blame(err)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errAnew):
			reason = err.Error()
			wait = w.config.retry
		case errors.As(err, &fault):
			w.config.logger.Error("Kea's leases cannot be read: begun again", "error", err)
			reason = "the last reading failed"
		default:
			return err
		}
		if err := pauseFor(ctx, jittered(wait)); err != nil {
			return err
		}
	}
}

// faultError is why a statement cannot go on although Kea answers.
type faultError struct{ err error }

func (e *faultError) Error() string { return e.err.Error() }
func (e *faultError) Unwrap() error { return e.err }

// blame keeps why the last attempt failed although Kea answered.
func (w *walk) blame(err error) {
	var fault *faultError
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fault = ""; errors.As(err, &fault) {
		w.fault = err.Error()
	}
}

// attempt is statement once. The error wraps errAnew, is a *faultError, the end of ctx, or out's.
func (w *walk) attempt(ctx context.Context, out func(context.Context, chunk) error) error {
	began := time.Now()
	begin := &beginning{}
	_, err := w.insist(ctx, func() (err error) {
		if _, err = w.vigil.look(ctx); err == nil {
			begin.links, begin.linked, err = w.subnets.of(ctx, w.vigil.last)
		}
		return err
	})
	if err != nil {
		return err
	}
	w.vigil.away = false
	begin.partial, begin.behind = w.vigil.lacking != "", w.vigil.behind
	if err := out(ctx, chunk{begin: begin}); err != nil {
		return err
	}
	switch {
	case begin.behind:
		w.config.logger.Info("Kea's leases are not read before it has those of its HA partner, which are newer", "reason", w.vigil.lacking)
		return nil
	case begin.partial:
		w.config.logger.Info("What Kea does not list is not taken as gone: it may lack leases", "reason", w.vigil.lacking)
	}
	t, err := w.pages(ctx, out)
	if err != nil {
		return err
	}
	if !begin.partial {
		// A Kea that has been restarted, or that has lost its partner, may have listed less than there is.
		if err := w.unchanged(ctx, begin.partial); err != nil {
			return err
		}
		if err := out(ctx, chunk{end: true}); err != nil {
			return err
		}
	}
	if err := w.again(ctx, began, out); err != nil {
		return err
	}
	w.config.logger.Info("Kea's leases have been read", "leases", t.leases, "unreadable", t.bad, "links", len(begin.links), "pages", t.pages,
		"slowest_page", t.slowest, "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// again reads the leases of a Kea with an HA partner once more, and states those that are not older than the statement. What the
// partner gave meanwhile its own agent has stated at once; a page that Kea had made before it got that from its partner may have been
// stated later, and older. Nobody else would put that right before the next statement.
func (w *walk) again(ctx context.Context, began time.Time, out func(context.Context, chunk) error) error {
	if !w.vigil.paired() {
		return nil
	}
	if err := pauseFor(ctx, lagAsk); err != nil { // Kea has got it by then
		return err
	}
	skew, _ := w.config.control.Skew()
	since := began.Add(skew - lagging).Unix()
	_, err := w.pages(ctx, func(ctx context.Context, c chunk) error {
		c.rows = slices.DeleteFunc(c.rows, func(r row) bool { return r.transaction() < since })
		if len(c.rows) == 0 {
			return nil
		}
		return out(ctx, c)
	})
	return err
}

// pageTally is what a statement came to.
type pageTally struct {
	pages, leases, bad int
	slowest            time.Duration
}

// pages states all pages.
func (w *walk) pages(ctx context.Context, out func(context.Context, chunk) error) (t pageTally, err error) {
	cursor, circle, pause, limit := firstPage, newCircle(), w.pacer(), w.config.page
	for {
		var p page
		failed, err := w.insist(ctx, func() (err error) {
			for p, err = w.config.control.page(ctx, cursor, limit); errors.Is(err, errTooLong) && limit > 1; {
				limit /= 2 // these leases are large
				p, err = w.config.control.page(ctx, cursor, limit)
			}
			return err
		})
		if err != nil {
			return t, err
		}
		if failed {
			if err := w.unchanged(ctx, w.vigil.lacking != ""); err != nil {
				return t, err
			}
		}
		t.pages, t.leases, t.bad, t.slowest = t.pages+1, t.leases+len(p.rows), t.bad+len(p.bad), max(t.slowest, p.took)
		for _, b := range p.bad {
			w.config.report(b)
		}
		for rows := range slices.Chunk(p.rows, maxChunk) {
			if err := out(ctx, chunk{rows: rows, asked: p.asked}); err != nil {
				return t, err
			}
		}
		if p.listed < limit {
			return t, nil
		}
		if !circle.advance(cursor, p.cursor) {
			return t, &faultError{fmt.Errorf("lease6-get-page from %s: %w: it goes in a circle", p.cursor, ErrReply)}
		}
		cursor = p.cursor
		if err := pauseFor(ctx, pause(ctx, p.took)); err != nil {
			return t, err
		}
	}
}

// pacer gives the pauses of one statement.
func (w *walk) pacer() func(context.Context, time.Duration) time.Duration {
	if w.config.pause != nil {
		return func(_ context.Context, took time.Duration) time.Duration { return w.config.pause(took) }
	}
	p := &pagePace{control: w.config.control, served: w.vigil.paired()}
	return p.pause
}

// unchanged looks whether Kea still is the one with which the statement began. The error wraps errAnew, or is the end of ctx.
func (w *walk) unchanged(ctx context.Context, partial bool) error {
	news := ""
	_, err := w.insist(ctx, func() (err error) {
		news, err = w.vigil.look(ctx)
		return err
	})
	switch {
	case err != nil:
		return err
	case news != "":
		return fmt.Errorf("%w: %s", errAnew, news)
	case !partial && w.vigil.lacking != "":
		return fmt.Errorf("%w: it may lack leases: %s", errAnew, w.vigil.lacking)
	}
	return nil
}

// circle notices when cursors come again, whatever their order: Kea with an SQL database before 2.4 sorts addresses as text, by the
// rules of the database's language. It keeps one cursor, a later one each time twice as many have gone by (Brent's algorithm).
type circle struct {
	mark        string
	steps, most int
}

func newCircle() *circle { return &circle{most: 1} }

// advance takes the next cursor; false: it has been there.
func (c *circle) advance(last, next string) bool {
	if next == last || next == c.mark {
		return false
	}
	if c.steps++; c.steps == c.most {
		c.mark, c.steps, c.most = next, 0, 2*c.most
	}
	return true
}
