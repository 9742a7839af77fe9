package feed

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
)

// Limits of the contract (proto/ingest/v1, message Changes).
const (
	MaxBatchChanges = 1024      // changes in a batch
	MaxBatchOctets  = 192 << 10 // octets of a batch's changes, encoded
	maxSourceName   = 255       // octets of a source's name
)

// ErrConfig is wrapped by every error about a configuration that cannot work.
var ErrConfig = errors.New("feed configuration")

// Config says what an Agent feeds, whom, and within which bounds. A field left zero takes its value from DefaultConfig.
type Config struct {
	Source      string            // name of the DHCP server, or of a pair that shares its leases; 1 to 255 octets
	Cluster     []string          // gRPC addresses of nodes, host:port; tried in this order
	DialOptions []grpc.DialOption // must hold transport credentials
	Instance    string            // which of the agents that share the source; default: the host's name
	Logger      *slog.Logger      // nil: none
	Progress    Progress          // nil: none
	Metrics     *Metrics          // nil: none

	BatchChanges int // changes in a batch, 1 to MaxBatchChanges
	BatchOctets  int // octets of a batch's changes, up to MaxBatchOctets; a single larger change goes alone
	MaxPending   int // octets kept unacknowledged, sent or not; the source waits at this bound

	AnswerTimeout time.Duration // a node that owes an answer for so long is left for the next
	BackoffMin    time.Duration // wait before the second round over all addresses; doubles each round, jittered
	BackoffMax    time.Duration // longest wait
	Linger        time.Duration // when ctx ends: how long what was stated may still be sent
	ReportEvery   time.Duration // how often the agent reports to the cluster
	GiveUp        time.Duration // Run ends with an error when nothing was acknowledged for so long; 0: never

	Epoch func() uint64 // makes a session's number, never 0; nil: random
}

// DefaultConfig is the configuration that zero fields are taken from; Source, Cluster and DialOptions have no default.
func DefaultConfig() Config {
	return Config{
		Logger:        slog.New(slog.DiscardHandler),
		Progress:      silent{},
		BatchChanges:  1024,
		BatchOctets:   128 << 10,
		MaxPending:    16 << 20,
		AnswerTimeout: 30 * time.Second,
		BackoffMin:    50 * time.Millisecond,
		BackoffMax:    5 * time.Second,
		Linger:        2 * time.Second,
		ReportEvery:   5 * time.Second,
		Epoch:         randomEpoch,
	}
}

func randomEpoch() uint64 {
	for {
		if e := rand.Uint64(); e != 0 {
			return e
		}
	}
}

// complete fills in what c leaves open and checks it; the error wraps ErrConfig and names the field.
func (c Config) complete() (Config, error) {
	d := DefaultConfig()
	if c.Instance == "" {
		c.Instance = hostname()
	}
	if c.Logger == nil {
		c.Logger = d.Logger
	}
	if c.Progress == nil {
		c.Progress = d.Progress
	}
	if c.Epoch == nil {
		c.Epoch = d.Epoch
	}
	for _, n := range []struct{ value, from *int }{
		{&c.BatchChanges, &d.BatchChanges}, {&c.BatchOctets, &d.BatchOctets}, {&c.MaxPending, &d.MaxPending},
	} {
		if *n.value == 0 {
			*n.value = *n.from
		}
	}
	for _, t := range []struct{ value, from *time.Duration }{
		{&c.AnswerTimeout, &d.AnswerTimeout}, {&c.BackoffMin, &d.BackoffMin}, {&c.BackoffMax, &d.BackoffMax}, {&c.Linger, &d.Linger},
		{&c.ReportEvery, &d.ReportEvery},
	} {
		if *t.value == 0 {
			*t.value = *t.from
		}
	}
	return c, c.check()
}

// hostname is the host's name; "unnamed" where it has none.
func hostname() string {
	if name, err := os.Hostname(); err == nil && name != "" {
		return name
	}
	return "unnamed"
}

func (c Config) check() error {
	switch {
	case c.Source == "" || len(c.Source) > maxSourceName:
		return fmt.Errorf("%w: source name of %d octets, want 1 to %d", ErrConfig, len(c.Source), maxSourceName)
	case len(c.Instance) > maxSourceName || !utf8.ValidString(c.Instance):
		return fmt.Errorf("%w: instance name %q, want at most %d octets of UTF-8", ErrConfig, c.Instance, maxSourceName)
	case len(c.Cluster) == 0:
		return fmt.Errorf("%w: no cluster address", ErrConfig)
	case c.BatchChanges < 1 || c.BatchChanges > MaxBatchChanges:
		return fmt.Errorf("%w: batches of %d changes, want 1 to %d", ErrConfig, c.BatchChanges, MaxBatchChanges)
	case c.BatchOctets < 1 || c.BatchOctets > MaxBatchOctets:
		return fmt.Errorf("%w: batches of %d octets, want 1 to %d", ErrConfig, c.BatchOctets, MaxBatchOctets)
	case c.MaxPending < 1:
		return fmt.Errorf("%w: %d octets unacknowledged, want at least 1", ErrConfig, c.MaxPending)
	case c.AnswerTimeout < 0 || c.BackoffMin < 0 || c.BackoffMax < c.BackoffMin || c.GiveUp < 0 || c.Linger < 0 || c.ReportEvery < 0:
		return fmt.Errorf("%w: a duration is negative, or the longest backoff (%v) below the shortest (%v)", ErrConfig, c.BackoffMax, c.BackoffMin)
	}
	return nil
}
