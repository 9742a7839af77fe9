package iscdhcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/leasehold/leasehold/feed"
	"github.com/leasehold/leasehold/feed/doorbell"
	"github.com/leasehold/leasehold/fsm/binding"
)

// ErrConfig is wrapped by the error of New.
var ErrConfig = errors.New("configuration of an ISC dhcpd source")

// DefaultResync is how often a Source states everything when nothing else asks for it.
const DefaultResync = time.Hour

// poll is how often the file is looked at when the kernel does not tell of changes.
const poll = time.Second

// Config says what a Source follows.
type Config struct {
	Leases    string             // path of the lease file
	Config    string             // path of dhcpd's configuration, whose subnets become links; empty: Links are what there is
	Links     []binding.Link     // links beside those of Config; leases do not name their links, so Names are of no use
	Variables []Variable         // nil: DefaultVariables
	Resync    time.Duration      // how often everything is stated again; 0: DefaultResync
	Logger    *slog.Logger       // nil: none
	Report    func(*RecordError) // is told of each record that cannot be used or not wholly; nil: they are logged
}

// bell wakes whoever waits for the file to change.
type bell interface {
	Wait(ctx context.Context, ring <-chan struct{}, most time.Duration) (doorbell.Wakeup, error)
	Close() error
}

// Source follows the lease file of dhcpd. It is a feed.Reporter.
type Source struct {
	config  Config
	newBell func() bell

	troubles *feed.Troubles

	mu     sync.Mutex
	totals Totals
}

// What trouble can be about.
const (
	leaseFile = "dhcpd's lease file"
	confFile  = "dhcpd's configuration, and so with the links"
)

var _ feed.Reporter = (*Source)(nil)

// Totals count since the program began.
type Totals struct {
	Records    uint64 // read, also those that are no leases
	Refused    uint64 // that could not be used
	Degraded   uint64 // leases that were used without their relay data, because it could not be
	Statements uint64 // full statements
	Rewrites   uint64 // files that took the place of the one that was followed
}

// New makes a Source, and opens nothing. The error wraps ErrConfig.
func New(config Config) (*Source, error) {
	if config.Leases == "" {
		return nil, fmt.Errorf("%w: no lease file", ErrConfig)
	}
	if config.Resync < 0 {
		return nil, fmt.Errorf("%w: resync %v", ErrConfig, config.Resync)
	}
	for i := range config.Links {
		if err := config.Links[i].Validate(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	if config.Variables == nil {
		config.Variables = DefaultVariables()
	}
	for _, v := range config.Variables {
		if v.Name == "" || v.Holds > RelayID || v.Holds > HopCount && (v.Relay < 1 || v.Relay > MaxRelays) || v.Holds <= HopCount && v.Relay != 0 {
			return nil, fmt.Errorf("%w: variable %+v", ErrConfig, v)
		}
	}
	if config.Resync == 0 {
		config.Resync = DefaultResync
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Source{config: config, troubles: feed.NewTroubles(config.Logger)}
	s.newBell = func() bell { return doorbell.New(config.Leases, config.Logger) }
	return s, nil
}

// Condition is what keeps the source from the files, and how many records it refused. dhcpd runs on this machine: its clock is ours.
func (s *Source) Condition() feed.Condition {
	return feed.Condition{Refused: s.Totals().Refused, Measured: true, Trouble: s.troubles.String()}
}

// Totals are the newest; they may be asked for at any time from any goroutine.
func (s *Source) Totals() Totals {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.totals
}

func (s *Source) count(f func(*Totals)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.totals)
}

// bad is told of a record.
func (s *Source) bad(e *RecordError) {
	s.count(func(t *Totals) {
		if e.Kept {
			t.Degraded++
		} else {
			t.Refused++
		}
	})
	if s.config.Report != nil {
		s.config.Report(e)
		return
	}
	s.config.Logger.Warn("A record of ISC dhcpd cannot be used", "place", fmt.Sprintf("%s:%d", e.File, e.Line), "lease_kept", e.Kept, "error", e.Err)
}

// Run states everything, then what dhcpd appends, and everything again when it has rewritten its file and every Config.Resync.
// Trouble with the files is waited for to pass, and shown by Condition. The error is that of the sink.
func (s *Source) Run(ctx context.Context, sink feed.Sink) error {
	b := s.newBell()
	f := &following{source: s, sink: sink}
	err := f.run(ctx, b)
	if closing := errors.Join(f.close(), b.Close()); err == nil && closing != nil {
		return fmt.Errorf("stop following dhcpd: %w", closing)
	}
	return err
}

// run follows until ctx ends.
func (f *following) run(ctx context.Context, b bell) error {
	for {
		err := f.look(ctx)
		if f.sunk != nil {
			return f.sunk
		}
		f.source.troubles.Set(leaseFile, err)
		wait := poll
		if f.stated && !f.due { // one that is due, and still not made, waits for the file
			wait = max(min(poll, time.Until(f.next)), 0)
		}
		why, err := b.Wait(ctx, nil, wait)
		if err != nil {
			return err
		}
		if why == doorbell.Rung || f.stated && !time.Now().Before(f.next) {
			f.due = true
		}
	}
}
