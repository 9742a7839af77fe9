package dnsmasq

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
var ErrConfig = errors.New("configuration of a dnsmasq source")

// DefaultResync is how often a Source states everything when nothing else asks for it.
const DefaultResync = time.Hour

// Config says what a Source follows.
type Config struct {
	Leases string          // path of the lease file
	Socket string          // path at which SendEvent finds the agent; empty: the lease file is all there is
	State  string          // path of a file in which relays and times outlive the agent; empty: they do not
	Links  []binding.Link  // leases do not name their links, so Names are of no use; none: links are not stated
	Resync time.Duration   // how often everything is stated again; 0: DefaultResync
	Logger *slog.Logger    // nil: none
	Report func(LineError) // is told of each line that cannot be used, once as long as it is there; nil: they are logged
}

// bell wakes whoever waits for the file to change.
type bell interface {
	Wait(ctx context.Context, ring <-chan struct{}, most time.Duration) (doorbell.Wakeup, error)
	Close() error
}

// Source follows dnsmasq. It is a feed.Reporter.
type Source struct {
	config  Config
	newBell func() bell

	known      *known          // of the goroutine that is in Run
	complained map[string]bool // the lines that could not be used when the lease file was last believed

	troubles *feed.Troubles

	mu     sync.Mutex
	totals Totals
}

var _ feed.Reporter = (*Source)(nil)

// What trouble can be about.
const (
	leaseFile   = "dnsmasq's lease file"
	eventSocket = "the socket for dnsmasq's events"
	stateFile   = "the state file"
)

// Totals count since the program began.
type Totals struct {
	Files      uint64 // lease files that were believed
	Unstable   uint64 // times that one was read and not believed, because it was being written
	Events     uint64 // that were remembered
	BadEvents  uint64 // that could not be read
	Refused    uint64 // lines that could not be used
	Statements uint64 // full statements
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
	if config.Resync == 0 {
		config.Resync = DefaultResync
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Source{config: config, complained: map[string]bool{}, troubles: feed.NewTroubles(config.Logger)}
	s.newBell = func() bell { return doorbell.New(config.Leases, config.Logger) }
	s.known = newKnown(func(err error) { s.troubles.Set(stateFile, err) })
	return s, nil
}

// Condition is what keeps the source from dnsmasq, and how many lines and events it refused. dnsmasq runs on this machine: its clock
// is ours.
func (s *Source) Condition() feed.Condition {
	t := s.Totals()
	return feed.Condition{Refused: t.Refused + t.BadEvents, Measured: true, Trouble: s.troubles.String()}
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

// report tells of the lines of a lease file that are new among those that cannot be used.
func (s *Source) report(problems []LineError) {
	now := map[string]bool{}
	for _, e := range problems {
		e.File = s.config.Leases
		now[e.text] = true
		if s.complained[e.text] {
			continue
		}
		s.count(func(t *Totals) { t.Refused++ })
		if s.config.Report != nil {
			s.config.Report(e)
		} else {
			s.config.Logger.Warn("A line of dnsmasq's lease file cannot be used", "place", fmt.Sprintf("%s:%d", e.File, e.Line), "error", e.Err)
		}
	}
	s.complained = now
}

// badEvent is told of an event that cannot be read.
func (s *Source) badEvent(err error) {
	s.count(func(t *Totals) { t.BadEvents++ })
	s.config.Logger.Warn("An event of dnsmasq cannot be used", "error", err)
}

// Run states everything, then what changes, and everything again every Config.Resync. Trouble with the file and the socket is waited
// for to pass, and shown by Condition. The error is that of the sink.
func (s *Source) Run(ctx context.Context, sink feed.Sink) error {
	f := &following{source: s, sink: sink, due: true}
	return f.run(ctx)
}
