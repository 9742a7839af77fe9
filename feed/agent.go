package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// Errors that end Run.
var (
	// ErrGaveUp is wrapped when nothing was acknowledged for Config.GiveUp; it stands beside the last node's error.
	ErrGaveUp = errors.New("no node of the cluster took anything")
	// ErrRefused is wrapped when the cluster refuses the session itself: its source name, or a resync's begin or end.
	ErrRefused = errors.New("the cluster refuses the feed")
)

// errEpochLost is wrapped when the cluster no longer knows the session, and the source must begin anew.
var errEpochLost = errors.New("the cluster no longer knows this session")

// Agent feeds a cluster with what a source states.
type Agent struct {
	config   Config
	source   Source
	ledger   ledger
	standing standing
	outage   outage
	now      func() time.Time

	at      int       // index of the address in use
	failed  int       // sessions that failed since the cluster last took what there was
	failing time.Time // when the first of these failed
}

// New makes an agent; it starts nothing. The error wraps ErrConfig.
func New(config Config, source Source) (*Agent, error) {
	config, err := config.complete()
	if err != nil {
		return nil, err
	}
	return &Agent{config: config, source: source, now: time.Now, standing: standing{due: make(chan struct{}, 1)}}, nil
}

// log is the log of what concerns the source.
func (a *Agent) log() *slog.Logger { return a.config.Logger.With("source", a.config.Source) }

// Totals is what was done so far. It may be called at any time from any goroutine.
func (a *Agent) Totals() Totals { return a.ledger.read(a.now()) }

// Run feeds until the source has said everything and the cluster has acknowledged it: nil. Otherwise the error is the source's, or
// the end of ctx, or wraps ErrGaveUp or ErrRefused. Run is called once. When ctx ends, what the source has stated by then is still
// sent, for Config.Linger at most.
func (a *Agent) Run(ctx context.Context) error {
	a.ledger.start(a.now())
	defer func() { a.ledger.end(a.now()) }()
	if a.config.Metrics != nil {
		a.config.Metrics.follow(a)
	}
	observing, end := context.WithCancel(ctx)
	var observed sync.WaitGroup
	observed.Go(func() { a.observe(observing) })
	defer observed.Wait()
	defer end()
	for {
		err := a.runEpoch(ctx)
		if !errors.Is(err, errEpochLost) {
			return err
		}
		a.log().Warn("The cluster no longer knows this session; the source begins anew", "error", err)
		if err := a.pause(ctx, err); err != nil {
			return err
		}
	}
}

// deliver runs sessions, one after the other, until everything in the window is acknowledged.
func (a *Agent) deliver(ctx context.Context, w *window, epoch uint64) error {
	for {
		node := a.config.Cluster[a.at]
		s := &session{config: a.config, window: w, agent: a, node: node, epoch: epoch, now: a.now}
		err := s.run(ctx, node)
		a.standing.disconnected(err)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if s.acked || (s.welcomed && w.idle()) {
			a.failed = 0
		}
		if err := a.recover(ctx, w, err, s.welcomed); err != nil {
			return err
		}
	}
}

// recover decides what follows the end of a session: nil to run the next one.
func (a *Agent) recover(ctx context.Context, w *window, err error, welcomed bool) error {
	code := status.Code(err)
	switch {
	case errors.Is(err, errEpochLost):
		return err
	case code == codes.FailedPrecondition:
		return fmt.Errorf("%w: %w", errEpochLost, err)
	case code == codes.InvalidArgument && !welcomed:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case code == codes.InvalidArgument && w.inFlight() > 0:
		refused, errIsolate := w.isolate(culpritOf(err))
		if errIsolate != nil {
			return fmt.Errorf("%w: %w", errIsolate, err)
		}
		if refused != nil {
			a.refuse(refused, err)
		}
		return nil
	}
	a.outage.failed(a.log(), a.failed+1 >= len(a.config.Cluster), w, err, a.now())
	return a.pause(ctx, err)
}

// maxLogged is how many refused changes are logged one by one, so that a source of them does not fill the log.
const maxLogged = 100

// refuse reports a change that will not reach the cluster.
func (a *Agent) refuse(c *ingestv1.Change, err error) {
	var refused uint64
	a.ledger.add(func(t *Totals) { t.Refused++; refused = t.Refused })
	switch {
	case refused <= maxLogged:
		a.log().Error("A change was refused and left out", "change", describe(c), "error", err)
	case refused == maxLogged+1:
		a.log().Error("More changes were refused; from here on they are counted only", "error", err)
	}
}

// pause moves to the next address and, when all had their turn, waits: longer each round, at random between half and all of it,
// so that many agents do not come back at once.
func (a *Agent) pause(ctx context.Context, last error) error {
	if a.failed == 0 {
		a.failing = a.now()
	}
	a.failed++
	if quiet := a.now().Sub(a.failing); a.config.GiveUp > 0 && quiet >= a.config.GiveUp {
		return fmt.Errorf("%w for %v: %w", ErrGaveUp, quiet.Round(time.Millisecond), last)
	}
	a.at = (a.at + 1) % len(a.config.Cluster)
	rounds := a.failed / len(a.config.Cluster)
	if a.failed%len(a.config.Cluster) != 0 {
		return nil
	}
	wait := min(a.config.BackoffMax, a.config.BackoffMin<<min(rounds-1, 20))
	wait = wait/2 + rand.N(wait/2+1)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
