package cluster

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
)

const hour = binding.Time(3_600_000)

func TestStampFollowsMonotonicTime(t *testing.T) {
	s := newStamper(1000, 5*time.Second)
	for _, tc := range []struct {
		at   time.Duration
		want binding.Time
	}{
		{5 * time.Second, 1000},
		{5*time.Second + 1500*time.Microsecond, 1001}, // fractions are kept, not lost
		{5*time.Second + 2*time.Millisecond, 1002},
		{4 * time.Second, 1002}, // an instant from before changes nothing
		{6 * time.Second, 2000},
	} {
		if got := s.stamp(tc.at); got != tc.want {
			t.Errorf("stamp at %v = %d, want %d", tc.at, got, tc.want)
		}
	}
}

func TestStampSlewsByATenth(t *testing.T) {
	ahead := newStamper(0, 0)
	ahead.observe(hour, 0)
	if got := ahead.stamp(10 * time.Second); got != 11_000 {
		t.Errorf("clock behind the median advanced by %d ms in 10 s, want 11000", got)
	}
	behind := newStamper(hour, 0)
	behind.observe(0, 0)
	if got := behind.stamp(10*time.Second) - hour; got != 9_000 {
		t.Errorf("clock ahead of the median advanced by %d ms in 10 s, want 9000", got)
	}
	near := newStamper(1000, 0)
	near.observe(1050, 0) // reached within the second, then kept
	if got := near.stamp(10 * time.Second); got != 11_050 {
		t.Errorf("clock 50 ms behind the median is at %d after 10 s, want 11050", got)
	}
}

func TestStampNeverRunsBackwardNorFasterThanATenth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Duration(0)
		s := newStamper(binding.Time(rapid.Int64Range(0, 1<<41).Draw(t, "start")), 0)
		begin := s.stamp(0)
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			step := time.Duration(rapid.Int64Range(0, int64(10*time.Second)).Draw(t, "step"))
			if rapid.Bool().Draw(t, "observe") {
				s.observe(binding.Time(rapid.Int64Range(0, 1<<41).Draw(t, "median")), at)
			}
			before := s.stamp(at)
			at += step
			got := s.stamp(at).Sub(before)
			if slack := 2 * time.Millisecond; got < step*9/10-slack || got > step*11/10+slack {
				t.Fatalf("clock advanced by %v in %v", got, step)
			}
		}
		if total := s.stamp(at).Sub(begin); total < at*9/10-time.Millisecond || total > at*11/10+time.Millisecond {
			t.Fatalf("clock advanced by %v in %v", total, at)
		}
	})
}

func TestMedianWallCarriesReportsForward(t *testing.T) {
	reports := []wallReport{{wall: 1000, at: 0}, {wall: 2000, at: time.Second}, {wall: 9000, at: 2 * time.Second}}
	if got := medianWall(reports, 2*time.Second); got != 3000 {
		t.Errorf("median of 3000, 3000 and 9000 = %d", got)
	}
	if got := medianWall(reports[1:], 2*time.Second); got != 6000 {
		t.Errorf("median of 3000 and 9000 = %d, want the middle", got)
	}
}

func TestJudgeWalls(t *testing.T) {
	at := func(walls ...binding.Time) []wallReport {
		var out []wallReport
		for _, w := range walls {
			out = append(out, wallReport{wall: w})
		}
		return out
	}
	for _, tc := range []struct {
		name    string
		reports []wallReport
		voters  int
		median  binding.Time
		verdict verdict
	}{
		{"alone", at(hour), 1, hour, agreed},
		{"nobody answers", nil, 3, 0, unheard},
		{"one of three", at(hour), 3, 0, unheard},
		{"two of three agree", at(hour, hour+1000), 3, hour + 500, agreed},
		{"two of three disagree", at(0, hour), 3, hour / 2, disputed},
		{"one of three jumped", at(hour, hour+1000, 5*hour), 3, hour + 1000, agreed},
		{"all differ", at(hour, 2*hour, 3*hour), 3, 2 * hour, disputed},
		{"at the bound", at(hour, hour+60_000, hour+120_000), 3, hour + 60_000, agreed},
		{"beyond the bound", at(hour, hour+60_001, hour+120_002), 3, hour + 60_001, disputed},
		{"two of five answer", at(hour, hour), 5, 0, unheard},
		{"three of five, one off", at(hour, hour, 2*hour), 5, hour, disputed},
	} {
		median, v := judgeWalls(tc.reports, tc.voters, time.Minute, 0)
		if median != tc.median || v != tc.verdict {
			t.Errorf("%s: %d, %d; want %d, %d", tc.name, median, v, tc.median, tc.verdict)
		}
	}
}

func TestStepOnlyForward(t *testing.T) {
	s := newStamper(hour, 0)
	s.step(0, 0)
	if got := s.stamp(0); got != hour {
		t.Errorf("step back moved the clock to %d", got)
	}
	s.step(2*hour, 0)
	if got := s.stamp(0); got != 2*hour {
		t.Errorf("step forward left the clock at %d", got)
	}
}

func TestClockIsNewestEntryPlusMonotonicTime(t *testing.T) {
	c := NewClock()
	if got := c.Now(); got != 0 {
		t.Fatalf("clock before any entry = %d", got)
	}
	c.Applied(1, hour)
	c.Applied(2, hour-5000) // an entry whose time lay behind the state machine's clock
	first := c.Now()
	if first < hour || first > hour+60_000 {
		t.Fatalf("clock after an entry of %d = %d", hour, first)
	}
	c.Applied(3, 2*hour)
	if got := c.Now(); got < 2*hour {
		t.Errorf("clock after an entry of %d = %d", 2*hour, got)
	}
}
