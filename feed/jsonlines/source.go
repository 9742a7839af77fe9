package jsonlines

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leasehold/leasehold/feed"
)

// Errors of Run.
var (
	// ErrInput is wrapped when the input cannot be read on; what was read before is acknowledged then.
	ErrInput = errors.New("read the input")
	// ErrStatementLost tells that the cluster lost the session within a full statement: the lines before are gone here, and have to
	// come again.
	ErrStatementLost = errors.New("the cluster lost the session within a full statement: state everything again")
)

// Config says what is read. Its functions are called by the goroutine of Run.
type Config struct {
	Input  io.Reader
	Resync bool // the whole input is one full statement: what is not in it, and the source has stated before, goes
	Links  bool // with Resync: the statement has the source's links, too
	// Acknowledged is told the number of a line when the cluster has acknowledged it and all before it, but those that were
	// refused; nil: nobody is.
	Acknowledged func(line int)
	Report       func(*LineError) // told of each line that was refused, in order; nil: nobody is
	Logger       *slog.Logger     // gets the first hundred lines that were refused; nil: none
}

// Source reads JSON lines. It is a feed.Reporter.
type Source struct {
	config Config
	read   chan input
	start  sync.Once
	stop   sync.Once
	done   chan struct{}
	now    func() time.Time

	// Of the goroutine of Run.
	pending []item // stated and not acknowledged
	begun   bool   // a full statement was begun, and not completed
	spoilt  bool   // a line within it was refused
	nth     uint64 // the number of the newest full statement
	void    uint64 // the newest that was given up
	open    bool   // a begin was acknowledged, its end was not, and it is not void
	ended   bool   // the input has ended
	err     error  // why, if not by its end

	lines, refused, incomplete atomic.Uint64
}

// input is what the reading goroutine hands over: a line, a line that was refused, or the input's end.
type input struct {
	item
	refused *LineError
	err     error // io.EOF, or the input's
}

// item is a line that can be used.
type item struct {
	line
	number int
	nth    uint64 // of a begin: the number of the statement
	unix   int64  // when a lease's transaction, or an end, was: milliseconds since 1970
}

// inputs is how many lines are read ahead.
const inputs = 64

// New makes a source; it starts nothing.
func New(config Config) *Source {
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Source{config: config, read: make(chan input, inputs), done: make(chan struct{}), now: time.Now}
	return s
}

// maxLogged is how many refused lines are logged one by one, so that a file of another kind does not fill the log.
const maxLogged = 100

// refuse counts a line that is left out, and tells of it.
func (s *Source) refuse(e *LineError) {
	switch refused := s.refused.Add(1); {
	case refused <= maxLogged:
		s.config.Logger.Warn("A line is left out", "line", e.Line, "field", e.Field, "error", e.Err)
	case refused == maxLogged+1:
		s.config.Logger.Warn("More lines are left out; from here on they are counted only", "line", e.Line)
	}
	if s.config.Report != nil {
		s.config.Report(e)
	}
}

// Totals is what was read so far.
type Totals struct {
	Lines      uint64 // that are neither empty nor comments, the refused ones included
	Refused    uint64
	Incomplete uint64 // full statements that were not completed, because a line in them was refused
}

// Totals may be called at any time from any goroutine.
func (s *Source) Totals() Totals {
	return Totals{Lines: s.lines.Load(), Refused: s.refused.Load(), Incomplete: s.incomplete.Load()}
}

// Condition tells how many lines were refused.
func (s *Source) Condition() feed.Condition { return feed.Condition{Refused: s.refused.Load()} }

// Run states what is read, until the input ends and everything is acknowledged. The error is the end of ctx, or wraps ErrInput or
// ErrStatementLost. A goroutine reads the input; it ends with the input, or after Close.
func (s *Source) Run(ctx context.Context, sink feed.Sink) error {
	s.start.Do(func() { go s.readAll() })
	if s.open {
		return ErrStatementLost
	}
	p := &pump{source: s, sink: sink}
	if err := p.restate(ctx); err != nil {
		return err
	}
	if err := p.run(ctx); err != nil {
		return err
	}
	return s.err
}

// Close ends the goroutine that reads the input when it has read the next line. It is called when Run will not be called again.
func (s *Source) Close() { s.stop.Do(func() { close(s.done) }) }

// readAll reads lines and parses them.
func (s *Source) readAll() {
	send := func(in input) bool {
		select {
		case s.read <- in:
			return true
		case <-s.done:
			return false
		}
	}
	for l := newLines(s.config.Input); ; {
		octets, long, err := l.next()
		if err != nil {
			send(input{err: err})
			return
		}
		if !send(s.input(octets, long, l.number)) {
			return
		}
	}
}

// input parses a line.
func (s *Source) input(octets []byte, long bool, number int) input {
	refuse := func(field string, err error) input {
		return input{refused: &LineError{Line: number, Field: field, Err: err}}
	}
	if long {
		return refuse("", errLong)
	}
	parsed, err := parse(octets)
	var f *fieldError
	switch {
	case errors.As(err, &f):
		return refuse(f.field, f.err)
	case err != nil:
		return refuse("", err)
	case s.config.Resync && parsed.verb != state:
		return refuse("change", fmt.Errorf("%w: the whole input is one full statement", ErrLine))
	}
	return input{item: item{line: parsed, number: number, unix: parsed.at.unix(s.now().UnixMilli())}}
}
