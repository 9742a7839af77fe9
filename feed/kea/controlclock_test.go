package kea

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestSlowAnswersDoNotMoveTheClock: Kea, busy for a while, dates its answer when it makes it.
func TestSlowAnswersDoNotMoveTheClock(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	var c dateClock
	c.note(at.Add(12*time.Second), at, at.Add(12300*time.Millisecond))
	if skew, ok := c.skew(); ok {
		t.Errorf("skew %v by an answer that took 12 s", skew)
	}
	c.note(at.Add(20*time.Second), at.Add(20100*time.Millisecond), at.Add(20110*time.Millisecond))
	for _, took := range []time.Duration{0, 5 * time.Second, 29 * time.Second} {
		asked := at.Add(time.Minute)
		c.note(asked.Add(took).Truncate(time.Second), asked, asked.Add(took))
		if skew, ok := c.skew(); !ok || skew.Abs() > time.Second {
			t.Errorf("skew %v, known %v, by an answer that took %v of a clock like ours", skew, ok, took)
		}
	}
	c.note(at.Add(3700*time.Second), at.Add(100*time.Second), at.Add(100*time.Second))
	if skew, ok := c.skew(); !ok || (skew-time.Hour).Abs() > time.Second {
		t.Errorf("skew %v, known %v, of a clock that was set an hour ahead", skew, ok)
	}
}

func TestDateClockAgainstAModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var c dateClock
		now := time.Unix(1_800_000_000, 0)
		skew := time.Duration(rapid.Int64Range(-1e12, 1e12).Draw(rt, "skew"))
		best := time.Duration(1 << 62)
		for range rapid.IntRange(1, 10).Draw(rt, "answers") {
			before := time.Duration(rapid.Int64Range(0, 2e10).Draw(rt, "before"))
			after := time.Duration(rapid.Int64Range(0, 2e10).Draw(rt, "after"))
			now = now.Add(time.Duration(rapid.Int64Range(0, 1e11).Draw(rt, "pause")))
			c.note(now.Add(before).Add(skew).Truncate(time.Second), now, now.Add(before+after))
			now, best = now.Add(before+after), min(best, before+after+time.Second)
		}
		got, ok := c.skew()
		if best <= vagueSkew && !ok {
			rt.Fatalf("not known, although an answer tells it within %v", best)
		}
		if ok && (got-skew).Abs() > vagueSkew/2 {
			rt.Fatalf("skew %v, want %v", got, skew)
		}
	})
}
