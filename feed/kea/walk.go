package kea

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// What a walkConfig without a value means.
const (
	defaultPage  = 200              // leases: Kea answers no client while it makes a page, some 10 ms for so many
	defaultEvery = time.Hour        // between full statements that nothing asks for
	firstRetry   = time.Second / 4  // after a failure
	lastRetry    = 10 * time.Second // Kea is back soon, or somebody is working on it
)

// walkConfig says how Kea's pages are read.
type walkConfig struct {
	control   *Control
	keaConfig string                            // Kea's configuration file: links come from it where Kea does not tell them; empty: none
	page      int                               // leases of a page; 0: defaultPage
	every     time.Duration                     // between full statements that nothing asks for; 0: defaultEvery; a tenth of it is left to chance
	poll      time.Duration                     // between looks at Kea's health, when nothing else suggests one; 0: defaultPoll
	glances   <-chan struct{}                   // a receive tells that Kea may have ended or begun; nil: nobody tells
	once      bool                              // read makes one statement, and returns: somebody else keeps the schedule and looks at Kea
	retry     time.Duration                     // after a failure, doubled with each up to lastRetry; 0: firstRetry
	pause     func(time.Duration) time.Duration // between pages, by how long the last one took; nil: as pagePace says
	report    func(*RecordError)                // told of each lease that cannot be read; nil: nobody
	logger    *slog.Logger                      // nil: none
}

// walk is the way by lease6-get-page. It makes full statements only: at the beginning, when asked to, from time to time, and when
// something happened that only one mends: Kea was away, has been restarted or has read its configuration anew, or has got from its
// HA partner what it had lacked.
//
// A statement is not a snapshot: a lease that changes behind the cursor is told as it was, one that ends there is told all the same,
// and one that begins there is missed. The push of Kea's HA hook tells these things; without it the next statement does.
type walk struct {
	config  walkConfig
	vigil   *vigil
	subnets subnets

	mu      sync.Mutex
	failure string // of the last attempt to ask Kea
	fault   string // of the last statement
}

var _ way = (*walk)(nil)

// newWalk makes a walk; it asks nothing yet.
func newWalk(config walkConfig) *walk {
	if config.page <= 0 {
		config.page = defaultPage
	}
	if config.every <= 0 {
		config.every = defaultEvery
	}
	if config.poll <= 0 {
		config.poll = defaultPoll
	}
	if config.retry <= 0 {
		config.retry = firstRetry
	}
	if config.report == nil {
		config.report = func(*RecordError) {}
	}
	if config.logger == nil {
		config.logger = slog.New(slog.DiscardHandler)
	}
	return &walk{
		config: config, vigil: newVigil(config.control),
		subnets: subnets{control: config.control, file: config.keaConfig, logger: config.logger},
	}
}

// trouble is why Kea cannot be asked now, or empty.
func (w *walk) trouble() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return cmp.Or(w.failure, w.fault)
}

// note keeps how the last attempt to ask Kea went, and logs when that changes.
func (w *walk) note(err error) {
	now := ""
	if err != nil {
		now = err.Error()
	}
	w.mu.Lock()
	before := w.failure
	w.failure = now
	w.mu.Unlock()
	switch {
	case now != "" && before == "":
		w.config.logger.Warn("Kea cannot be asked: tried again until it can", "error", err)
	case now == "" && before != "":
		w.config.logger.Info("Kea can be asked again")
	}
}

// read makes full statements until ctx ends, or one.
func (w *walk) read(ctx context.Context, ring <-chan struct{}, out func(context.Context, chunk) error) error {
	w.introduce(ctx)
	for reason := "the beginning"; ; {
		if err := w.statement(ctx, reason, out); err != nil || w.config.once {
			return err
		}
		var err error
		if reason, err = w.await(ctx, ring); err != nil {
			return err
		}
	}
}

// introduce logs whom it is about. What fails here and matters will fail again, and be told then.
func (w *walk) introduce(ctx context.Context) {
	version, err := w.config.control.version(ctx)
	if err != nil {
		return
	}
	log := w.config.logger.With("at", w.config.control.config.URL, "version", version)
	names, err := w.config.control.commands(ctx)
	if err != nil {
		log.Info("Kea answers")
		return
	}
	log.Info("Kea answers", "lease_cmds", slices.Contains(names, "lease6-get-page"), "ha", slices.Contains(names, "ha-heartbeat"))
}

// await waits until a statement is due, and tells why. The error is the end of ctx.
func (w *walk) await(ctx context.Context, ring <-chan struct{}) (reason string, err error) {
	due := time.NewTimer(jittered(w.config.every))
	defer due.Stop()
	pace := newPace(w.config.poll)
	defer pace.stop()
	for {
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-ring:
			return "it was asked for", nil
		case <-due.C:
			return "the schedule", nil
		case <-w.config.glances:
			pace.soon()
		case <-pace.timer.C:
			news, err := w.vigil.look(ctx)
			pace.looked(err != nil || w.vigil.behind)
			if ctx.Err() != nil {
				return "", context.Cause(ctx)
			}
			w.note(err)
			switch {
			case news != "":
				return news, nil
			case err == nil && w.vigil.away:
				return "Kea was away", nil
			}
		}
	}
}

// jittered is a duration less up to a tenth, so that many agents do not ask at once for ever.
func jittered(d time.Duration) time.Duration { return d - rand.N(max(d/10, 1)) }

// errAnew is why a statement is begun again: Kea is not what it was.
var errAnew = errors.New("Kea has changed meanwhile")

// insist tries until it works. failed tells whether it did not at once. The error is the end of ctx.
func (w *walk) insist(ctx context.Context, try func() error) (failed bool, err error) {
	for wait := w.config.retry; ; wait = min(2*wait, lastRetry) {
		err := try()
		if ctx.Err() != nil {
			return failed, context.Cause(ctx)
		}
		w.note(err)
		if err == nil {
			return failed, nil
		}
		failed, w.vigil.away = true, true
		if err := pauseFor(ctx, jittered(wait)); err != nil {
			return failed, err
		}
	}
}

// pauseFor waits. Its error is the end of ctx.
func pauseFor(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
