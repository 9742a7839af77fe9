package kea

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/leasehold/leasehold/feed"
)

// ServerConfig says how a Server comes by the leases of one Kea, or of an HA pair: at least one of Leases, Control and Push is there.
type ServerConfig struct {
	Leases    string   // the lease file, which is followed; empty: none
	KeaConfig string   // Kea's configuration file: its subnets become links where Control does not tell them; empty: none
	Control   *Control // Kea's command API; nil: none

	Push         net.Listener // where Kea's HA hook sends what changes; nil: none. Serve closes it
	PushUser     string       // of basic authentication; empty: none is asked for
	PushPassword string
	PushTLS      *tls.Config // nil: in clear; see PushFiles
	// PushEarly answers a push when it is kept, not when the cluster has it. Kea has one request in flight on a connection, so that it
	// pushes faster then, and keeps less itself. It is for wait-backup-ack false, where nobody waits for the answer: what an agent that
	// crashes has not passed on, its first full statement makes good. So it needs Leases or Control.
	PushEarly bool

	Resync time.Duration // between full statements that nothing asks for; 0: DefaultResync, or DefaultPoll with pages alone
	Page   int           // leases asked for at once; 0: 200
	Logger *slog.Logger  // nil: none

	now func() time.Time
}

// How often everything is stated again when nothing else asks for it.
const (
	DefaultResync = time.Hour   // when changes are told too
	DefaultPoll   = time.Minute // with pages alone, which tell nothing in between
)

// Server is a feed.Source that joins all ways by which Kea tells its leases: the pushes of its HA hook, to which it is a backup peer;
// the lease file, followed; and pages of its command API. Where there is a lease file it gives the full statements, and the pages
// help out when it has a line that nobody can read.
//
// Two methods are to be run beside each other: Serve once, for as long as the program runs, and Run by the agent. Between two runs
// pushes are kept.
type Server struct {
	config     ServerConfig
	log        *slog.Logger
	queue      *queue
	breaker    breaker
	clock      clock
	ledger     serverLedger
	complaints *rate.Limiter // of bad input that is logged
	recent     *recent
	reread     *reread
	large      chan struct{} // a place for each long request that is being taken
	held       []*held       // what was stated and is not known to be acknowledged, in order; Run's

	mu   sync.Mutex
	ways []*wayRun // of the present run
}

// NewServer makes a source; it starts nothing and opens nothing. The error wraps ErrConfig.
func NewServer(config ServerConfig) (*Server, error) {
	if config.Leases == "" && config.Control == nil && config.Push == nil {
		return nil, fmt.Errorf("%w: neither a lease file, nor Kea's command API, nor a listener for pushes", ErrConfig)
	}
	if config.PushUser == "" && config.PushPassword != "" {
		return nil, fmt.Errorf("%w: a password for pushes without a user", ErrConfig)
	}
	if config.PushEarly && config.Leases == "" && config.Control == nil {
		return nil, fmt.Errorf("%w: pushes are to be answered early, and there is neither a lease file nor Kea's command API to make good what is lost", ErrConfig)
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.now == nil {
		config.now = time.Now
	}
	if config.Resync <= 0 {
		config.Resync = DefaultResync
		if config.Leases == "" && config.Push == nil {
			config.Resync = DefaultPoll
		}
	}
	s := &Server{
		config: config, log: config.Logger, queue: newQueue(),
		recent: newRecent(config.Leases != "", config.Control != nil),
		reread: newReread(), large: make(chan struct{}, pushLarge), complaints: rate.NewLimiter(rate.Every(lineLogPause), maxLogged),
	}
	return s, nil
}

var _ feed.Reporter = (*Server)(nil)

// Run states what Kea has and what changes, until ctx ends. See feed.Source.
func (s *Server) Run(ctx context.Context, sink feed.Sink) error {
	ctx, cancel := context.WithCancel(ctx)
	p, ways := newPump(s, sink), s.newWays()
	s.mu.Lock()
	s.ways = ways // nobody else writes it
	s.mu.Unlock()
	var group sync.WaitGroup
	for _, w := range ways {
		group.Go(func() { w.run(ctx, s.log) })
	}
	if s.config.Control != nil {
		group.Go(func() { s.reread.run(ctx, s.config.Control, s.complain, p.answers) })
	}
	defer group.Wait()
	defer cancel()
	return p.run(ctx)
}

// Condition is the newest; it may be called at any time from any goroutine.
func (s *Server) Condition() feed.Condition {
	c := feed.Condition{Refused: s.ledger.read().Refused}
	c.Skew, c.Measured = s.skew()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.ways {
		c.Trouble = join(c.Trouble, w.trouble())
	}
	return c
}

// complain warns of what others cause, within limits.
func (s *Server) complain(message string, args ...any) {
	if s.complaints.AllowN(s.config.now(), 1) {
		s.log.Warn(message, args...)
	}
}

// miss notes that a push was missed: a full statement makes it good.
func (s *Server) miss() {
	s.breaker.miss()
	s.queue.wake()
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// skew is Kea's clock minus ours: as Kea says, else as its pushes tell.
func (s *Server) skew() (time.Duration, bool) {
	if s.config.Control != nil {
		if d, ok := s.config.Control.Skew(); ok {
			return d, true
		}
	}
	return s.clock.skew()
}

// corrected is the skew that is worth correcting: a smaller one cannot be told from how Kea rounds.
func (s *Server) corrected() time.Duration {
	const least = 2 * time.Second
	if d, ok := s.skew(); ok && d.Abs() > least {
		return d
	}
	return 0
}
