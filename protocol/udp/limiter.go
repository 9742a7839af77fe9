package udp

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// The size of the limiter's table. Whatever number of sources there are, or are made up, this is all that is known of them.
const (
	limiterSets = 1024
	limiterWays = 8
)

// limiter limits how many queries a second come from each source address: a token bucket for each of the sources that were heard
// of last, in a table of fixed size. A source that has been pushed out of it begins with a full bucket, so that a flood of
// made-up sources takes nothing away from an honest one.
type limiter struct {
	seed  maphash.Seed
	start time.Time
	sets  [limiterSets]limiterSet
}

// limiterSet is the sources whose hashes lead to one place.
type limiterSet struct {
	mu   sync.Mutex
	ways [limiterWays]bucket
}

// bucket is what one source has left.
type bucket struct {
	source netip.Addr
	tokens float64
	at     time.Duration // when it had them, since the limiter's start
}

func newLimiter(now time.Time) *limiter { return &limiter{seed: maphash.MakeSeed(), start: now} }

// allow tells whether a source may send one more query now, and counts it. A rate of 0 is no limit, a burst of 0 two seconds'
// worth.
func (l *limiter) allow(source netip.Addr, rate float64, burst int, now time.Time) bool {
	if rate <= 0 {
		return true
	}
	most := float64(burst)
	if burst <= 0 {
		most = max(1, 2*rate)
	}
	at := now.Sub(l.start)
	octets := source.As16()
	s := &l.sets[maphash.Bytes(l.seed, octets[:])%limiterSets]
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.find(source)
	if b.source != source {
		*b = bucket{source: source, tokens: most, at: at}
	}
	if at > b.at {
		b.tokens += (at - b.at).Seconds() * rate
		b.at = at
	}
	b.tokens = min(b.tokens, most)
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// find is the source's bucket, or else the one that has been unused for longest.
func (s *limiterSet) find(source netip.Addr) *bucket {
	oldest := &s.ways[0]
	for i := range s.ways {
		b := &s.ways[i]
		if b.source == source {
			return b
		}
		if !b.source.IsValid() || oldest.source.IsValid() && b.at < oldest.at {
			oldest = b
		}
	}
	return oldest
}
