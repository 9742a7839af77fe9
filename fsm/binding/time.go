package binding

import "time"

// Time is cluster time in milliseconds since 1970-01-01T00:00:00Z. It is stamped by the leader into each log entry and never
// runs backward; no node's wall clock is a Time.
type Time int64

// Infinity is the lifetime that never ages, in seconds (RFC 8415 7.7: 0xffffffff).
const Infinity uint32 = 0xffffffff

// leasequeryEpoch is 2000-01-01T00:00:00Z in seconds since 1970: the origin of absolute times in RFC 7653 6.3.1.
const leasequeryEpoch = 946684800

// Seconds is t in whole seconds since 1970, rounded down.
func (t Time) Seconds() int64 {
	s := int64(t) / 1000
	if int64(t)%1000 < 0 {
		s--
	}
	return s
}

// BaseTime is t as RFC 7653 6.3.1 writes it: seconds since 2000-01-01T00:00:00Z, rounded down, modulo 2^32.
func (t Time) BaseTime() uint32 { return uint32(t.Seconds() - leasequeryEpoch) }

// Add is t later by d, which may be negative. Precision is one millisecond.
func (t Time) Add(d time.Duration) Time { return t + Time(d.Milliseconds()) }

// Sub is the duration from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t-u) * time.Millisecond }

// FromWall is the wall-clock instant w as cluster time.
func FromWall(w time.Time) Time { return Time(w.UnixMilli()) }

// Remaining is what is left, in seconds, of a lifetime granted at the transaction time lt, at the time now. Infinity stays
// Infinity, a lifetime that has run out is 0, and a transaction that seems to lie in the future has its full lifetime left.
func Remaining(lifetime uint32, lt, now Time) uint32 {
	if lifetime == Infinity {
		return Infinity
	}
	elapsed := (int64(now) - int64(lt)) / 1000
	switch {
	case elapsed <= 0:
		return lifetime
	case elapsed >= int64(lifetime):
		return 0
	}
	return lifetime - uint32(elapsed)
}

// Expiry is the time at which a lifetime in seconds, granted at lt, has run out; ok is false when it never does.
func Expiry(lifetime uint32, lt Time) (at Time, ok bool) {
	if lifetime == Infinity {
		return 0, false
	}
	return lt + Time(lifetime)*1000, true
}
