package requestor

import (
	"math/rand/v2"
	"time"
)

// backoff is the law of RFC 8415 15 for how long to wait before what has not been answered is sent again: a time that doubles up
// to a bound, each with a tenth of chance, so that requestors which began together do not stay together. It has no MRD: RFC 5007
// 4.3 sets it to zero.
type backoff struct {
	irt time.Duration // the first wait
	mrt time.Duration // the longest one, but for chance; 0: none
	mrc int           // how many times to send; 0: for ever

	sent int
	rt   time.Duration
}

// next is called after each sending: how long to wait for an answer then, and false when this was the last one.
func (b *backoff) next() (wait time.Duration, again bool) {
	b.sent++
	if b.sent == 1 {
		b.rt = b.irt + chance(b.irt)
	} else {
		b.rt = 2*b.rt + chance(b.rt)
	}
	if b.mrt > 0 && b.rt > b.mrt {
		b.rt = b.mrt + chance(b.mrt)
	}
	return b.rt, b.mrc <= 0 || b.sent < b.mrc
}

// chance is RAND times d: a tenth of it, more or less.
func chance(d time.Duration) time.Duration {
	return time.Duration((rand.Float64()*2 - 1) / 10 * float64(d))
}
