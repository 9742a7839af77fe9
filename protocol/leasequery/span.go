package leasequery

import (
	"math"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// span is the time that a query is about (RFC 7653 6.3.2, 6.3.3): seconds since 2000, modulo 2^32, ends inclusive.
type span struct {
	start, end       uint32
	hasStart, hasEnd bool
}

// parseTimes reads OPTION_LQ_START_TIME and OPTION_LQ_END_TIME, which mean the same at both levels.
func (s *span) parseTimes(message, inner dhcpv6.Options) (r *refusal) {
	if s.start, s.hasStart, r = parseTime(dhcpv6.OptionLQStartTime, message, inner); r != nil {
		return r
	}
	if s.end, s.hasEnd, r = parseTime(dhcpv6.OptionLQEndTime, message, inner); r != nil {
		return r
	}
	if s.hasStart && s.hasEnd && int32(s.end-s.start) < 0 { // the numbers wrap around (RFC 7653 6.3.1)
		return refuse(dhcpv6.StatusMalformedQuery, "the start time is behind the end time")
	}
	return nil
}

// parseTime reads one of the two.
func parseTime(code dhcpv6.OptionCode, message, inner dhcpv6.Options) (at uint32, given bool, r *refusal) {
	if message.Count(code)+inner.Count(code) > 1 {
		return 0, false, refuse(dhcpv6.StatusMalformedQuery, "more than one option %d", uint16(code))
	}
	v, ok := message.First(code)
	if !ok {
		v, ok = inner.First(code)
	}
	if !ok {
		return 0, false, nil
	}
	t, err := dhcpv6.ParseStartTime(v) // OPTION_LQ_END_TIME is written alike
	if err != nil {
		return 0, false, refuse(dhcpv6.StatusMalformedQuery, "option %d of %d octets", uint16(code), len(v))
	}
	return uint32(t), true, nil
}

// timeNear is the time of an absolute time of RFC 7653 6.3.1, which wraps around: of all that it may stand for the one nearest to
// the clock.
func timeNear(absolute uint32, clock binding.Time) binding.Time {
	return binding.Time(clock.Seconds()+int64(int32(absolute-clock.BaseTime()))) * 1000
}

// changes is a range of numbers of changes, both ends inclusive.
type changes struct{ from, to uint64 }

// allChanges holds every change.
var allChanges = changes{0, math.MaxUint64}

func (c changes) has(n uint64) bool { return c.from <= n && n <= c.to }

// changes is the range of the changes that were made in the span.
func (s *span) changes(clock binding.Time) changes {
	c := allChanges
	if s.hasStart {
		c.from = binding.ChangesFrom(timeNear(s.start, clock)) + 1
	}
	if s.hasEnd { // to the last millisecond of that second
		c.to = binding.ChangesFrom(timeNear(s.end, clock) + 1000)
	}
	return c
}
