package kea

import (
	"sync"
	"time"
)

// clock measures Kea's clock by what it pushes: the last transaction of a lease that is pushed was just now, so the freshest of many
// tells the time, to the second. What Kea has kept back for a while looks as if its clock were slow; therefore a slower time is
// believed only when nothing else has come for a whole span.
type clock struct {
	mu            sync.Mutex
	began         time.Time // of the span
	now, before   time.Duration
	some, earlier bool // whether now, and before, are known
}

const clockSpan = time.Minute

// note takes the transaction time of a lease that arrived just now.
func (c *clock) note(cltt int64, arrived time.Time) {
	// The time is between this second's begin and its end.
	d := time.Unix(cltt, 0).Add(time.Second / 2).Sub(arrived)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.some && arrived.Sub(c.began) >= clockSpan {
		c.before, c.earlier, c.some = c.now, true, false
	}
	if !c.some {
		c.began, c.now, c.some = arrived, d, true
	}
	c.now = max(c.now, d)
}

// skew is Kea's clock minus ours; false until something was pushed.
func (c *clock) skew() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.some && c.earlier:
		return max(c.now, c.before), true
	case c.some:
		return c.now, true
	}
	return c.before, c.earlier
}
