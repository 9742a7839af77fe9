package kea

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/leasehold/leasehold/feed/doorbell"
)

// Times of a follower.
const (
	followPoll     = time.Second           // how often a file is looked at of which the kernel does not tell
	statementPause = 50 * time.Millisecond // between two full statements, at least
	longestRest    = 5 * time.Second       // between two attempts at one, unless something happens to the files
	lineLogPause   = 30 * time.Second      // between two lines that are logged, after the first maxLogged
	tailRows       = 512                   // rows of a chunk, at most
)

// followConfig says what a follower follows.
type followConfig struct {
	path   string
	logger *slog.Logger     // nil: none
	report func(*LineError) // told of each line that is left out or loses a field, once; nil: nobody
}

// follower is the way by Kea's lease file: what is in it, and then each line as Kea appends it.
//
// It begins with a full statement of the file set, and the first line of the lease file that the statement does not have is the
// first that it tells as an event: nothing is missing between the two and nothing is in both, also when Kea rotates meanwhile. After
// a rotation it goes on in the new file if that is the direct successor. When it is not, or is not known to be (more than one
// rotation since it was looked at, one and lease6-write, a file that an operator replaced, truncated or wrote anew), a full statement
// tells what is so.
//
// Where it has read to is not kept for the next start. A start must state everything in any case: what happened while nobody read
// may have been compacted away with all traces of the leases that ended, and a position in a file does not tell what the cluster
// has got. A full statement costs seconds and cannot be wrong.
//
// A full statement after lease6-write has what the files say, and Kea would load: a lease that ended between the last LFC and that
// command is there again, as .2 has it and nothing tells of its end.
//
// It tells of a line that nobody can read as a doubt, with each statement anew as long as Kea has not compacted it away, because
// Kea's memory knows the lease and the file does not. Everything that keeps it from the file (not there yet, no permission, no
// header) is trouble that may pass.
type follower struct {
	config  followConfig
	disk    disk
	clock   func() time.Time
	newBell func() bell
	rows    int           // of a chunk, at most
	limit   *rate.Limiter // of the bad lines that are logged

	mu    sync.Mutex
	said  string // the trouble
	count followCounts
}

// followCounts is what a follower has done since it was made.
type followCounts struct {
	statements uint64 // full statements that ended
	lines      uint64 // that were told as events
	refused    uint64 // lines that were left out
	rotations  uint64 // that were followed
	gaps       uint64 // after which only a full statement told what is so
}

func newFollower(config followConfig) *follower {
	if config.logger == nil {
		config.logger = slog.New(slog.DiscardHandler)
	}
	f := &follower{config: config, disk: realDisk{}, clock: time.Now, rows: tailRows, limit: rate.NewLimiter(rate.Every(lineLogPause), maxLogged)}
	f.newBell = func() bell { return doorbell.New(config.path, config.logger) }
	return f
}

var _ way = (*follower)(nil)

// bell wakes a follower.
type bell interface {
	Wait(ctx context.Context, ring <-chan struct{}, most time.Duration) (doorbell.Wakeup, error)
	Close() error
}

// trouble is what keeps it from the file now.
func (f *follower) trouble() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.said
}

// counts may be called at any time from any goroutine.
func (f *follower) counts() followCounts {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// refused is how many lines could not be used.
func (f *follower) refused() uint64 { return f.counts().refused }

func (f *follower) tally(add func(*followCounts)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	add(&f.count)
}

// complain sets the trouble, and logs when it is another.
func (f *follower) complain(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	f.mu.Lock()
	before := f.said
	f.said = text
	f.mu.Unlock()
	switch {
	case text == before:
	case text == "":
		f.config.logger.Info("Kea's lease file is followed again", "file", f.config.path)
	default:
		f.config.logger.Warn("Kea's lease file cannot be followed", "error", err)
	}
}

// badLine tells of a line.
func (f *follower) badLine(e *LineError) {
	if !e.Kept {
		f.tally(func(c *followCounts) { c.refused++ })
	}
	if f.config.report != nil {
		f.config.report(e)
	}
	if f.limit.AllowN(f.clock(), 1) {
		f.config.logger.Warn("A line of the lease file is not used, or a field of it", "file", e.File, "line", e.Line, "field", e.Field,
			"lease_used", e.Kept, "error", e.Err)
	}
}

// read is that of way. Its only errors are the end of ctx and what out gives.
func (f *follower) read(ctx context.Context, ring <-chan struct{}, out func(context.Context, chunk) error) (err error) {
	b := f.newBell()
	s := &following{follower: f, ctx: ctx, due: true, pause: statementPause, lines: newLines()}
	s.out = func(c chunk) error {
		if err := out(ctx, c); err != nil {
			return &outError{err}
		}
		return nil
	}
	defer func() { err = errors.Join(err, s.close(), b.Close()) }()
	for {
		if err := s.turn(); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx) // whatever was being done
			}
			return err
		}
		most := followPoll
		if s.due {
			most = max(0, min(most, s.earliest.Sub(f.clock())))
		}
		why, err := b.Wait(ctx, ring, most)
		switch {
		case err != nil:
			return err
		case why == doorbell.Rung:
			s.due = true
		case why == doorbell.Changed && s.due:
			s.hasten()
		}
	}
}

// outError is an error of the one who takes the chunks.
type outError struct{ err error }

func (e *outError) Error() string { return e.err.Error() }
func (e *outError) Unwrap() error { return e.err }
