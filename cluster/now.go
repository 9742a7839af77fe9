package cluster

import (
	"sync/atomic"
	"time"

	"github.com/leasehold/leasehold/fsm/binding"
)

// Clock is cluster time as this node knows it: the clock of the newest applied entry plus the monotonic time since. No wall
// clock takes part.
type Clock struct {
	latest atomic.Pointer[reading]
}

// reading is a clock and the monotonic instant at which it was applied.
type reading struct {
	clock binding.Time
	at    time.Time
}

// NewClock is a clock that stands at 0 until the first entry is applied.
func NewClock() *Clock { return &Clock{} }

// Applied tells the clock of the newest applied entry: fsm.Config.Applied. A clock that is not newer than the last is
// ignored: it was read from an entry that left the time as it was.
func (c *Clock) Applied(_ uint64, clock binding.Time) {
	if last := c.latest.Load(); last == nil || clock > last.clock {
		c.latest.Store(&reading{clock: clock, at: time.Now()})
	}
}

// Now is cluster time; 0 before any entry was applied.
func (c *Clock) Now() binding.Time {
	last := c.latest.Load()
	if last == nil {
		return 0
	}
	return last.clock.Add(time.Since(last.at))
}
