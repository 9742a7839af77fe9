package feed

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// tellEvery is how often the log is told that an outage lasts.
const tellEvery = time.Minute

// outage tells the log of the times in which no node takes anything: when one begins, once in a while that it lasts, and when it is
// over. What each address answers every few seconds meanwhile is for debugging.
type outage struct {
	mu    sync.Mutex
	since time.Time // of the first failure; zero: none
	told  time.Time // when the log was told last; zero: not yet
}

// failed tells that a session ended, or did not come about. all says that every address had its turn since something was
// acknowledged.
func (o *outage) failed(log *slog.Logger, all bool, w *window, err error, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		o.since = now
	}
	level, text := slog.LevelDebug, "A session ended; the next address is tried"
	switch {
	case !all && o.told.IsZero():
		level = slog.LevelInfo
	case !all: // known
	case o.told.IsZero():
		level, text = slog.LevelWarn, "No node of the cluster takes the feed; what the source states waits"
	case now.Sub(o.told) >= tellEvery:
		level, text = slog.LevelWarn, "Still no node of the cluster takes the feed"
	}
	if level == slog.LevelWarn {
		o.told = now
	}
	changes, octets := w.waiting()
	log.Log(context.Background(), level, text, "error", err, "for", now.Sub(o.since).Round(time.Millisecond), "waiting", changes, "octets", octets, "room", w.limit)
}

// over tells that a node has the feed, and whatever it owes is acknowledged or begins to be.
func (o *outage) over(log *slog.Logger, node string, w *window, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.told.IsZero() {
		changes, _ := w.waiting()
		log.Info("The cluster takes the feed again", "node", node, "after", now.Sub(o.since).Round(time.Millisecond), "waiting", changes)
	}
	o.since, o.told = time.Time{}, time.Time{}
}
