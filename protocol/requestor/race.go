package requestor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// race is one QueryAny: attempts, the next one begun when no earlier one has said anything for Config.Patience. Mostly that is
// because it has failed, and then there is one at a time.
type race struct {
	config  Config
	query   Query
	each    func(*Client) error
	servers []*server
	start   time.Time
	ended   chan *attempt // each attempt, once
	speaker atomic.Pointer[attempt]
	running sync.WaitGroup
	stop    context.CancelFunc // ends every attempt

	all    []*attempt // that have not failed
	failed []Attempt  // in the order in which they did
}

func newRace(given []string, config Config, q Query, each func(*Client) error) (*race, error) {
	servers, err := newServers(given, config)
	if err != nil {
		return nil, err
	}
	return &race{
		config: config, query: q, each: each, servers: servers, start: time.Now(), ended: make(chan *attempt), stop: func() {},
	}, nil
}

// claim makes a the attempt whose clients are handed over, and tells whether it is. With Config.Stream there is only one.
func (r *race) claim(a *attempt) bool {
	return r.speaker.CompareAndSwap(nil, a) || r.speaker.Load() == a
}

// errWon says that the race is over: an answer is complete, and was handed over.
var errWon = errors.New("answer complete")

func (r *race) run(ctx context.Context) error {
	attempts, stop := context.WithCancel(ctx)
	r.stop = stop
	err := r.rounds(ctx, attempts)
	if errors.Is(err, errWon) {
		return nil
	}
	if sink, ok := errors.AsType[*sinkError](err); ok {
		return sink.err
	}
	return err
}

// rounds goes through the servers, with a pause before each further round. attempts is the context of the attempts.
func (r *race) rounds(ctx, attempts context.Context) error {
	pauses := backoff{irt: r.config.MinBackoff, mrt: r.config.MaxBackoff, mrc: r.config.Rounds}
	for {
		for _, s := range r.servers {
			if err := r.ask(ctx, attempts, s); err != nil {
				return err
			}
		}
		wait, again := pauses.next()
		if !again {
			break
		}
		if err := r.pause(ctx, wait); err != nil {
			return err
		}
		if err := r.settle(ctx); err != nil { // a silent one may speak by now
			return err
		}
		if !r.askable() {
			break
		}
	}
	for len(r.all) > 0 { // the silent ones
		if err := r.await(ctx, nil); err != nil {
			return err
		}
	}
	return &AttemptsError{Attempts: r.failed}
}

// ask asks a server at each of its addresses in turn, as long as nobody else is answering.
func (r *race) ask(ctx, attempts context.Context, s *server) error {
	if !s.askable() {
		return nil
	}
	if err := s.lookUp(ctx, r.config); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("query: %w", ctx.Err())
		}
		r.fail(Attempt{Server: s.given, Err: err})
	}
	for _, t := range s.targets {
		if !t.askable() {
			continue
		}
		r.begin(attempts, t)
		if err := r.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *race) begin(ctx context.Context, t *target) {
	a := &attempt{race: r, target: t, spool: spool{dir: r.config.SpoolDir, limit: r.config.SpoolMemory}}
	a.hear()
	t.running = true
	r.all = append(r.all, a)
	r.running.Go(func() { a.run(ctx) })
}

// settle waits until no attempt runs that has been heard of within Config.Patience. errWon: one is complete.
func (r *race) settle(ctx context.Context) error {
	for {
		left := r.patience()
		if left <= 0 {
			return nil
		}
		timer := time.NewTimer(left)
		err := r.await(ctx, timer.C)
		timer.Stop()
		if err != nil {
			return err
		}
	}
}

// patience is how much longer to wait for the attempts that run; zero when it is time to ask the next server. It reports the
// silent ones.
func (r *race) patience() time.Duration {
	if len(r.all) == 0 {
		return 0
	}
	if r.speaker.Load() != nil { // what it has handed over nobody else can go on with
		return r.config.DataTimeout
	}
	var left time.Duration
	for _, a := range r.all {
		left = max(left, r.config.Patience-time.Since(r.start)+time.Duration(a.heard.Load()))
	}
	if left > 0 {
		return left
	}
	for _, a := range r.all {
		if !a.silent {
			a.silent = true
			r.config.Report(Attempt{Server: a.target.name, Err: fmt.Errorf("%w for %v, and is not given up yet", ErrSilent, r.config.Patience)})
		}
	}
	return 0
}

// pause waits for so long, and then until there is a server to be asked: one that is being asked, in silence, is not.
func (r *race) pause(ctx context.Context, d time.Duration) error {
	end := time.Now().Add(d)
	for r.askable() || len(r.all) > 0 {
		var over <-chan time.Time
		if r.askable() {
			left := time.Until(end)
			if left <= 0 {
				return nil
			}
			over = time.After(left)
		}
		if err := r.await(ctx, over); err != nil {
			return err
		}
	}
	return nil
}

// askable tells whether there is a server to be asked.
func (r *race) askable() bool { return slices.ContainsFunc(r.servers, (*server).askable) }

// await waits until an attempt ends or over comes. It is an error when that ends the race: errWon, *sinkError, the context's, or
// that of an answer which was handed over in part.
func (r *race) await(ctx context.Context, over <-chan time.Time) error {
	select {
	case a := <-r.ended:
		return r.take(ctx, a)
	case <-over:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("query: %w", ctx.Err())
	}
}

// take looks at how an attempt ended.
func (r *race) take(ctx context.Context, a *attempt) error {
	a.target.running = false
	r.all = slices.DeleteFunc(r.all, func(other *attempt) bool { return other == a })
	_, sink := errors.AsType[*sinkError](a.err)
	switch {
	case a.err == nil:
		return r.win(a)
	case ctx.Err() != nil:
		return errors.Join(fmt.Errorf("query: %w", ctx.Err()), a.spool.close())
	case sink || r.speaker.Load() == a:
		return errors.Join(a.err, a.spool.close())
	case errors.Is(a.err, errOvertaken):
		return nil
	}
	a.target.refused = refusal(a.err)
	r.fail(Attempt{Server: a.target.name, Err: a.err})
	if err := a.spool.close(); err != nil {
		return &sinkError{err}
	}
	return nil
}

func (r *race) fail(a Attempt) {
	r.failed = append(r.failed, a)
	r.config.Report(a)
}

// win hands over what is complete.
func (r *race) win(a *attempt) error {
	r.stop()
	defer func() { r.all = append(r.all, a) }() // to be closed with the others
	if !r.config.Stream {
		if err := a.replay(); err != nil {
			return &sinkError{err}
		}
	}
	return errWon
}

// close ends what still runs, waits for it, and gives back what the attempts kept.
func (r *race) close() error {
	r.stop()
	r.running.Wait()
	var errs []error
	for _, a := range r.all {
		errs = append(errs, a.spool.close())
	}
	return errors.Join(errs...)
}
