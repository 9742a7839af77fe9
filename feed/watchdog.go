package feed

import (
	"sync"
	"time"
)

// watchdog ends a session when an answer is owed for too long. It begins with one owed: the welcome.
type watchdog struct {
	mu    sync.Mutex
	after time.Duration
	owed  func() bool
	timer *time.Timer
}

func newWatchdog(after time.Duration, owed func() bool, bite func()) *watchdog {
	return &watchdog{after: after, owed: owed, timer: time.AfterFunc(after, bite)}
}

// look begins the wait anew if something is owed, and ends it if not. What is owed is looked up under the lock: else a sender
// and a receiver that look at the same time could leave the wait ended with something owed.
func (d *watchdog) look() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.owed() {
		d.timer.Reset(d.after)
	} else {
		d.timer.Stop()
	}
}

// stop ends the wait for good.
func (d *watchdog) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.owed = func() bool { return false }
	d.timer.Stop()
}
