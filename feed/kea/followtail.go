package kea

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// following is one run of a follower.
type following struct {
	*follower
	ctx    context.Context
	out    func(chunk) error
	lines  *lines
	parser parser

	tail     *chain  // nil: no statement was ever possible
	stating  *survey // of the statement that is being given; nil: none is
	due      bool    // a full statement is due
	earliest time.Time
	tried    time.Time // when a statement was tried last
	pause    time.Duration
	problem  error // why there was none
}

// over tells whether an error ends the run.
func (s *following) over(err error) bool {
	var out *outError
	return s.ctx.Err() != nil || errors.As(err, &out)
}

// turn does what there is to do now.
func (s *following) turn() error {
	if s.due && !s.clock().Before(s.earliest) {
		if err := s.attempt(); err != nil {
			return err
		}
	}
	var looked error
	if s.tail != nil {
		if looked = s.advance(); s.over(looked) {
			return looked
		}
		if err := s.tell(); err != nil {
			return err
		}
	}
	s.complain(errors.Join(s.problem, looked))
	return nil
}

// attempt tries a full statement.
func (s *following) attempt() error {
	s.due, s.problem, s.tried = false, nil, s.clock()
	err := s.state()
	var lost *gap
	switch {
	case err == nil:
		s.pause = statementPause
		s.tally(func(c *followCounts) { c.statements++ })
	case s.over(err):
		return err
	case errors.As(err, &lost):
		s.due = true
		if s.tail != nil && s.tail.broken == lost {
			s.tail.told.broken = true
		}
		if err := s.lost(lost); err != nil {
			return err
		}
	default:
		s.due, s.problem = true, err
		s.pause = min(2*s.pause, longestRest)
	}
	s.earliest = s.clock().Add(s.pause)
	return nil
}

// hasten brings the next attempt forward, because something happened to the files.
func (s *following) hasten() {
	if soon := s.tried.Add(statementPause); soon.Before(s.earliest) {
		s.earliest = soon
	}
}

// tell tells, once, that the file was taken away or that the chain broke.
func (s *following) tell() error {
	c := s.tail
	if c.broken != nil && !c.told.broken {
		c.told.broken, s.due = true, true
		return s.lost(c.broken)
	}
	if c.removed && !c.told.removed {
		c.told.removed = true
		return s.out(chunk{doubt: c.path + ": the lease file was removed while Kea may write to it"})
	}
	return nil
}

// lost tells that a chain broke.
func (s *following) lost(g *gap) error {
	s.tally(func(c *followCounts) { c.gaps++ })
	s.config.logger.Info("The lease files are read anew", "file", s.config.path, "reason", g.reason)
	if g.doubt {
		return s.out(chunk{doubt: fmt.Sprintf("%s: %s", s.config.path, g.reason)})
	}
	return nil
}

// advance tells what was appended since, as events. An error for which the run is not over is one that time may heal.
func (s *following) advance() error {
	for {
		looked := s.tail.look()
		whole, chained := s.tail.whole(), len(s.tail.files) > 1
		if err := s.readOn(s.tail.files[0], whole); err != nil {
			return errors.Join(looked, err)
		}
		if !chained && whole != s.tail.whole() {
			continue // the name was given away meanwhile, and perhaps something was appended before that
		}
		if !chained {
			return looked
		}
		if err := s.tail.pass(); err != nil {
			return fmt.Errorf("close rotated lease file: %w", err)
		}
		s.tally(func(c *followCounts) { c.rotations++ })
	}
}

// readOn tells what was appended to a file; whole says that nothing more will be.
func (s *following) readOn(r *reading, whole bool) error {
	rows := &sheaf{out: s.out, most: s.rows, events: true}
	bad := badLines{}
	flush := func() error {
		_ = s.tail.look() // remembered; an error comes again
		if err := rows.flush(); err != nil {
			return err
		}
		return bad.flush(s.out)
	}
	err := r.each(s.lines, &s.parser, wholeFile, flush, func(line []byte, err error) error {
		if errors.Is(err, ErrTorn) && !whole {
			return nil // its rest is to come
		}
		if err == nil {
			err = s.parser.parse(line)
		}
		if err != nil {
			e := lineProblem(err, r.file.Name(), s.lines.number, false)
			bad.add(e)
			if s.lines.start >= r.known {
				s.badLine(e)
			}
			return nil
		}
		return s.event(rows, r, flush)
	})
	if err != nil {
		if e := (*LineError)(nil); errors.As(err, &e) {
			s.due = true // the header: a full statement tells what comes of it
		}
		return err
	}
	if whole && s.lines.torn {
		r.next = mark{offset: s.lines.end, number: s.lines.number} // it was told of
	}
	return flush()
}

// event takes the parser's row.
func (s *following) event(rows *sheaf, r *reading, flush func() error) error {
	row := &s.parser.row
	if row.relaysFail != nil {
		s.badLine(&LineError{File: r.file.Name(), Line: s.lines.number, Field: "user_context", Kept: true, Err: row.relaysFail})
	}
	if s.stating != nil {
		delete(s.stating.last, row.prefix.Addr().As16()) // what the statement would say of it is not so any more
	}
	s.tally(func(c *followCounts) { c.lines++ })
	if rows.add(row) {
		return flush()
	}
	return nil
}

// close closes what is open.
func (s *following) close() error {
	if s.tail == nil {
		return nil
	}
	return s.tail.close()
}

// sheaf gathers rows for a chunk.
type sheaf struct {
	out    func(chunk) error
	most   int
	rows   []row
	events bool
	asked  time.Time
}

// add tells whether the chunk is full.
func (h *sheaf) add(r *row) bool {
	h.rows = append(h.rows, r.clone())
	return len(h.rows) >= h.most
}

func (h *sheaf) flush() error {
	if len(h.rows) == 0 {
		return nil
	}
	rows := h.rows
	h.rows = nil
	return h.out(chunk{rows: rows, events: h.events, asked: h.asked})
}

// badLines gathers lines that cannot be read for a doubt.
type badLines struct {
	first *LineError
	more  uint64
}

func (b *badLines) add(e *LineError) {
	if b.first == nil {
		b.first = e
	} else {
		b.more++
	}
}

func (b *badLines) flush(out func(chunk) error) error {
	if b.first == nil {
		return nil
	}
	text := b.first.Error()
	if b.more > 0 {
		text = fmt.Sprintf("%s, and %d more lines that cannot be read", text, b.more)
	}
	*b = badLines{}
	return out(chunk{doubt: text})
}
