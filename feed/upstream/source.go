package upstream

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/leasehold/leasehold/feed"
	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// The pauses after a failure, if Config.Requestor does not say others: the first, and the longest.
const (
	minPause = time.Second
	maxPause = time.Minute
)

// maxLogged is how many flaws in what the server says are logged one by one.
const maxLogged = 100

// errSelf says that the server is the cluster that is fed.
var errSelf = errors.New("it is the cluster that is fed: its server DUID is the same")

// Source states what a server tells by leasequery. It is a feed.Reporter.
type Source struct {
	config    Config
	queries   []query
	known     *table
	statement uint32 // number of the newest
	first     int    // number of the server that is asked first
	clock     clock
	refused   atomic.Uint64
	own       atomic.Pointer[[]byte]
	troubles  troubles
}

var _ feed.Reporter = (*Source)(nil)

// New makes a source; it starts nothing. The error wraps ErrConfig.
func New(config Config) (*Source, error) {
	config, queries, err := config.complete()
	if err != nil {
		return nil, err
	}
	return &Source{config: config, queries: queries, known: newTable(config.MaxBindings)}, nil
}

// Condition is the newest; it may be called at any time from any goroutine.
func (s *Source) Condition() feed.Condition {
	c := feed.Condition{Refused: s.refused.Load(), Trouble: s.troubles.String()}
	c.Skew, c.Measured = s.clock.skew()
	return c
}

// Run states what the server has, again and again, and what it tells of changes between, until ctx ends. A server that is away or refuses
// is asked again; that is trouble and no error.
func (s *Source) Run(ctx context.Context, sink feed.Sink) error {
	for failures := 0; ; {
		s.learnOwn(ctx)
		err := s.round(ctx, sink)
		if f := fatal(err); f != nil {
			return f
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var wait time.Duration
		switch {
		case err == nil && s.config.Active: // it has waited, and the subscriptions are to begin again at once
			failures = 0
		case err == nil || refusal(err): // the server is there
			failures, wait = 0, s.config.polling()
		default:
			failures++
			wait = s.pause(failures, errors.Is(err, errHopeless))
		}
		if !sleep(ctx, jittered(wait)) {
			return context.Cause(ctx)
		}
	}
}

// round is one full statement; with subscriptions it goes on until the next is due. An error that is not fatal is noted as trouble already.
func (s *Source) round(ctx context.Context, sink feed.Sink) error {
	if s.config.Active {
		err := s.subscribe(ctx, sink)
		if err == nil || ctx.Err() != nil || fatal(err) != nil {
			return err
		}
		s.troubles.set(subscribing, fmt.Errorf("no subscription, everything is asked for instead: %w", err))
		if polled := s.poll(ctx, sink); polled != nil {
			return polled
		}
		return err
	}
	return s.poll(ctx, sink)
}

// refusal tells whether a server was there, and did not want to answer.
func refusal(err error) bool {
	var all *requestor.AttemptsError
	return errors.As(err, &all) && all.Refused()
}

// pause is how long to wait after so many failures in a row; polled tells whether all has been asked for all the same.
func (s *Source) pause(failures int, polled bool) time.Duration {
	first, longest := s.config.Requestor.MinBackoff, s.config.Requestor.MaxBackoff
	if first <= 0 {
		first = minPause
	}
	if longest <= 0 {
		longest = maxPause
	}
	if polled {
		longest = max(longest, s.config.polling())
	}
	return min(first<<min(failures-1, 20), max(longest, first))
}

// jittered is d, a tenth more or less, so that many requestors do not come at once.
func jittered(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()*2-1)/10*float64(d))
}

// sleep waits, and is false when ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// requestor is how servers are asked.
func (s *Source) requestor(report func(requestor.Attempt)) requestor.Config {
	c := s.config.Requestor
	c.Stream, c.Tolerant, c.Report, c.Server = true, true, report, s.check
	return c
}

// servers are the servers, with the one that is to be asked first.
func (s *Source) servers() []string {
	n := s.first % len(s.config.Servers)
	return append(append([]string(nil), s.config.Servers[n:]...), s.config.Servers[:n]...)
}

// learnOwn finds out the DUID of the cluster that is fed. While it cannot be asked, what was learnt before counts.
func (s *Source) learnOwn(ctx context.Context) {
	if s.config.Own == nil {
		return
	}
	own, err := s.config.Own(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.config.Logger.Warn("The server DUID of the cluster that is fed is not known; that it is fed from itself would not be noticed", "error", err)
		}
		return
	}
	s.own.Store(&own)
}

// check refuses a server that is the cluster that is fed.
func (s *Source) check(duid []byte) error {
	if own := s.own.Load(); own != nil && len(*own) > 0 && string(*own) == string(duid) {
		return fmt.Errorf("server %s: %w", hex.EncodeToString(duid), errSelf)
	}
	return nil
}

// refuse counts and logs what cannot be used of a client: one of its bindings, or all where p is not valid.
func (s *Source) refuse(c *requestor.Client, p netip.Prefix, err error) {
	n := s.refused.Add(1)
	if n > maxLogged {
		return
	}
	attrs := []any{"client", binding.FormatDUID(c.DUID), "error", err}
	if p.IsValid() {
		attrs = append(attrs, "binding", p.String())
	}
	s.config.Logger.Warn("What the server says of a client cannot be used, or not all of it", attrs...)
	if n == maxLogged {
		s.config.Logger.Warn("More of it is counted only")
	}
}
