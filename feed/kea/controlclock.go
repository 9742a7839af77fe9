package kea

import (
	"sync"
	"time"
)

// vagueSkew is how wide the bounds of a skew may be: what is known no better is not known.
const vagueSkew = 3 * time.Second

// dateClock measures Kea's clock by the dates of its answers, in whole seconds. An answer may have been dated at any time between the
// question and its arrival, which are far apart when Kea is busy: each gives bounds, and what all of them allow is what is known.
type dateClock struct {
	mu        sync.Mutex
	low, high time.Duration // of Kea's clock minus ours
	some      bool
}

// note takes the date of an answer.
func (c *dateClock) note(date, asked, received time.Time) {
	low, high := date.Sub(received), date.Add(time.Second).Sub(asked)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.some && low <= c.high && high >= c.low {
		c.low, c.high = max(c.low, low), min(c.high, high)
		return
	}
	c.low, c.high, c.some = low, high, true // the first, or one of the clocks was set
}

// skew is Kea's clock minus ours; ok is false as long as it is not known.
func (c *dateClock) skew() (skew time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.some || c.high-c.low > vagueSkew {
		return 0, false
	}
	return c.low + (c.high-c.low)/2, true
}
