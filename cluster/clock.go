package cluster

import (
	"slices"
	"time"

	"github.com/leasehold/leasehold/fsm/binding"
)

// maxSlew is the part of elapsed time by which the leader's clock may run fast or slow to come closer to the voters' median
// wall clock.
const maxSlew = 10 // one tenth

// stamper makes the time that the leader stamps into entries: within a term the previous stamp plus monotonic time, slewed by
// at most a tenth towards the median wall clock of the voters it can reach. Instants are durations since an origin of the
// caller's on a monotonic clock. It is not safe for concurrent use.
type stamper struct {
	clock  int64         // nanoseconds since 1970, as of at
	at     time.Duration // monotonic instant of clock
	target int64         // median wall clock in nanoseconds since 1970, as of seen
	seen   time.Duration
	known  bool // whether there is a target
}

// newStamper begins at the time start at the instant at.
func newStamper(start binding.Time, at time.Duration) *stamper {
	return &stamper{clock: int64(start) * int64(time.Millisecond), at: at}
}

// observe sets the time to slew towards: the median wall clock at an instant.
func (s *stamper) observe(median binding.Time, at time.Duration) {
	s.target, s.seen, s.known = int64(median)*int64(time.Millisecond), at, true
}

// step moves the clock forward to t if that is later: allowed only to a new leader that the voters' clocks agree with.
func (s *stamper) step(t binding.Time, at time.Duration) {
	s.advance(at)
	s.clock = max(s.clock, int64(t)*int64(time.Millisecond))
}

// stamp is the time at the instant at. It never runs backward, whatever the instants do.
func (s *stamper) stamp(at time.Duration) binding.Time {
	s.advance(at)
	return binding.Time(s.clock / int64(time.Millisecond))
}

func (s *stamper) advance(at time.Duration) {
	elapsed := int64(at - s.at)
	if elapsed <= 0 {
		return
	}
	s.at = at
	s.clock += elapsed
	if !s.known {
		return
	}
	off := s.target + int64(at-s.seen) - s.clock
	limit := elapsed / maxSlew
	s.clock += min(max(off, -limit), limit)
}

// wallReport is a voter's wall clock, as of the instant at.
type wallReport struct {
	wall binding.Time
	at   time.Duration
}

// medianWall is the median of the reports' wall clocks, carried forward to the instant at. There must be a report.
func medianWall(reports []wallReport, at time.Duration) binding.Time {
	walls := make([]binding.Time, len(reports))
	for i, r := range reports {
		walls[i] = r.wall.Add(at - r.at)
	}
	slices.Sort(walls)
	mid := len(walls) / 2
	if len(walls)%2 == 1 {
		return walls[mid]
	}
	return walls[mid-1] + (walls[mid]-walls[mid-1])/2
}

// verdict is what a new leader makes of the voters' wall clocks.
type verdict uint8

const (
	unheard  verdict = iota // too few voters have answered: nothing is known yet
	agreed                  // a majority lies within the greatest step of the median
	disputed                // it does not
)

// judgeWalls tells what to make of the reports when the cluster has so many voters: a new leader begins at the median, if
// that is later than the last stamp, only when a majority of the voters lies within maxStep of it.
func judgeWalls(reports []wallReport, voters int, maxStep time.Duration, at time.Duration) (binding.Time, verdict) {
	majority := voters/2 + 1
	if len(reports) < majority {
		return 0, unheard
	}
	median := medianWall(reports, at)
	near := 0
	for _, r := range reports {
		if d := r.wall.Add(at - r.at).Sub(median); d >= -maxStep && d <= maxStep {
			near++
		}
	}
	if near < majority {
		return median, disputed
	}
	return median, agreed
}
