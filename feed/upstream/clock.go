package upstream

import (
	"sync"
	"time"
)

// epoch2000 is 2000-01-01T00:00:00Z, from which base times count (RFC 7653 6.3.1), in seconds since 1970.
const epoch2000 = 946684800

// clockSpan is how long a base time counts for the measure of the server's clock, at least; twice that at most.
const clockSpan = 10 * time.Minute

// baseLag is how much a base time lies behind the server's clock, in the mean, in milliseconds: it is rounded down to the second.
const baseLag = 500

// clock measures the server's clock by its base times. Each is a little behind by the time that it has come, so that the one that seems
// the most ahead is the best; old ones are forgotten, because clocks drift.
type clock struct {
	mu       sync.Mutex
	measured bool
	offset   int64 // of the current span: the server's clock minus this machine's, in milliseconds
	former   int64 // of the span before
	until    time.Time
}

// sample takes the base time of a message that has just come and was not made long before.
func (c *clock) sample(base uint32, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	offset := (epoch2000+int64(base))*1000 + baseLag - now.UnixMilli()
	switch {
	case !c.measured:
		c.measured, c.offset, c.former, c.until = true, offset, offset, now.Add(clockSpan)
	case now.After(c.until):
		c.former, c.offset, c.until = c.offset, offset, now.Add(clockSpan)
	default:
		c.offset = max(c.offset, offset)
	}
}

// skew is the server's clock minus this machine's.
func (c *clock) skew() (d time.Duration, measured bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(max(c.offset, c.former)) * time.Millisecond, c.measured
}
