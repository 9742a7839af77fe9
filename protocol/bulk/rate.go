package bulk

import (
	"math"
	"time"

	"golang.org/x/time/rate"

	"github.com/leasehold/leasehold/protocol/leasequery"
)

// limiterOf holds a requestor to its rate; nil where it has none. Its stanza goes before the server's configuration.
func (c Config) limiterOf(entry *leasequery.Requestor) *rate.Limiter {
	limit, burst := entry.Limit(c.Rate, c.Burst)
	if limit <= 0 {
		return nil
	}
	if burst <= 0 {
		burst = int(min(max(1, math.Ceil(2*limit)), math.MaxInt32))
	}
	return rate.NewLimiter(rate.Limit(limit), burst)
}

// pace returns when the requestor's rate allows the query that has come; until then nothing more is read (RFC 5460 7.3). Nothing is
// lost: what waits, waits in the requestor's socket. Meanwhile the connection counts as idle, and may make room for another. errStop when
// it is to end.
func (c *conn) pace() error {
	limiter := c.requestor.limiter
	if limiter == nil {
		return nil
	}
	turn := limiter.Reserve()
	wait := turn.Delay()
	if wait == 0 {
		return nil
	}
	c.server.metrics.paced.Inc()
	c.handOver(true) // the queries before this one have been allowed
	c.mu.Lock()
	c.unread = true
	c.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return nil
		case <-c.room:
		case <-c.ctx.Done():
		}
		c.mu.Lock()
		stop := c.ending != "" || c.draining
		c.mu.Unlock()
		if stop {
			turn.Cancel()
			return errStop
		}
	}
}

// spent tells whether the requestor has used up some of what its rate allows, so that it must not be forgotten.
func (r *requestor) spent() bool {
	return r.limiter != nil && r.limiter.Tokens() < float64(r.limiter.Burst())
}

// sweep forgets requestors without a connection whose rate allows all that it may: they are kept until then, or whoever closes a
// connection would begin anew on the next one.
func (a *admission) sweep() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, r := range a.requestors {
		if r.connections == 0 && !r.spent() {
			delete(a.requestors, key)
		}
	}
}
