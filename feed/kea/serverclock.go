package kea

import (
	"sync"
	"time"
)

// clock measures Kea's clock by what it pushes: the last transaction of a lease that is pushed was just now, so the freshest of many
// tells the time, to the second. What Kea has kept back for a while looks as if its clock were slow; therefore a slower time is
// believed only when nothing else has come for a whole span. A time that is ahead of all others is believed when a second push tells
// it too: leases would be taken for over, and one bad record must not do that to others.
type clock struct {
	mu            sync.Mutex
	began         time.Time // of the span
	now, before   time.Duration
	some, earlier bool          // whether now, and before, are known
	ahead         time.Duration // what a push told that nobody has confirmed
	alone         bool          // whether there is such a push
}

const (
	clockSpan  = time.Minute
	clockAgree = 5 * time.Second // between pushes that tell the same time
)

// note takes the newest transaction time of a push that arrived just now.
func (c *clock) note(cltt int64, arrived time.Time) {
	// The time is between this second's begin and its end.
	d := time.Unix(cltt, 0).Add(time.Second / 2).Sub(arrived)
	c.mu.Lock()
	defer c.mu.Unlock()
	if d > max(c.most(), 0)+clockAgree {
		confirmed := c.alone && (d-c.ahead).Abs() <= clockAgree
		c.ahead, c.alone = d, !confirmed
		if !confirmed {
			return
		}
	}
	if c.some && arrived.Sub(c.began) >= clockSpan {
		c.before, c.earlier, c.some = c.now, true, false
	}
	if !c.some {
		c.began, c.now, c.some = arrived, d, true
	}
	c.now = max(c.now, d)
}

// most is what is believed, or that the clocks agree as long as nothing is.
func (c *clock) most() time.Duration {
	switch {
	case c.some && c.earlier:
		return max(c.now, c.before)
	case c.some:
		return c.now
	}
	return c.before
}

// skew is Kea's clock minus ours; false until something was pushed.
func (c *clock) skew() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most(), c.some || c.earlier
}
