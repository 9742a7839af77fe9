package binding

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBaseTime(t *testing.T) {
	wall := func(s string) Time {
		w, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return FromWall(w)
	}
	for _, tc := range []struct {
		at      Time
		seconds int64
		base    uint32
	}{
		{wall("2000-01-01T00:00:00Z"), 946684800, 0},
		{wall("2000-01-01T00:00:00.999Z"), 946684800, 0}, // rounded down
		{wall("2000-01-01T00:00:01Z"), 946684801, 1},
		{wall("1999-12-31T23:59:59Z"), 946684799, 0xffffffff},
		{wall("1999-12-31T23:59:59.001Z"), 946684799, 0xffffffff},
		{wall("2136-02-07T06:28:16Z"), 946684800 + 1<<32, 0}, // modulo 2^32
		{0, 0, 0xc792bc80},
		{-1, -1, 0xc792bc7f},
		{-1000, -1, 0xc792bc7f},
		{-1001, -2, 0xc792bc7e},
	} {
		if got := tc.at.Seconds(); got != tc.seconds {
			t.Errorf("seconds of %d: %d, want %d", tc.at, got, tc.seconds)
		}
		if got := tc.at.BaseTime(); got != tc.base {
			t.Errorf("base time of %d: %#x, want %#x", tc.at, got, tc.base)
		}
	}
}

func TestAddAndSub(t *testing.T) {
	const at = Time(1_700_000_000_000)
	for d, want := range map[time.Duration]Time{time.Second: at + 1000, -time.Minute: at - 60_000, 1900 * time.Microsecond: at + 1, 0: at} {
		if got := at.Add(d); got != want {
			t.Errorf("%v later: %d, want %d", d, got, want)
		}
	}
	if got := at.Sub(at - 1500); got != 1500*time.Millisecond {
		t.Errorf("1500 ms between: %v", got)
	}
}

func TestRemaining(t *testing.T) {
	const lt = Time(1_000_000)
	for _, tc := range []struct {
		lifetime uint32
		now      Time
		want     uint32
	}{
		{100, lt, 100},
		{100, lt + 999, 100},
		{100, lt + 1000, 99},
		{100, lt + 99_999, 1},
		{100, lt + 100_000, 0},
		{100, lt + 1e9, 0},
		{100, lt - 5000, 100},
		{0, lt, 0},
		{0, lt - 1, 0},
		{Infinity, lt, Infinity},
		{Infinity, lt + 1<<50, Infinity},
		{Infinity - 1, lt + 1000, Infinity - 2},
	} {
		if got := Remaining(tc.lifetime, lt, tc.now); got != tc.want {
			t.Errorf("of %d s, %d ms later: %d, want %d", tc.lifetime, tc.now-lt, got, tc.want)
		}
	}
}

func TestNothingRemainsExactlyFromExpiryOn(t *testing.T) {
	if at, ok := Expiry(Infinity, 5); ok {
		t.Errorf("an infinite lifetime ends at %d", at)
	}
	rapid.Check(t, func(t *rapid.T) {
		lifetime := rapid.Uint32Range(1, Infinity-1).Draw(t, "lifetime")
		lt := Time(rapid.Int64Range(0, 1<<43).Draw(t, "last transaction"))
		at, ok := Expiry(lifetime, lt)
		if !ok || Remaining(lifetime, lt, at) != 0 || Remaining(lifetime, lt, at-1) != 1 {
			t.Fatalf("ends at %d, %v: %d left, %d a moment before", at, ok, Remaining(lifetime, lt, at), Remaining(lifetime, lt, at-1))
		}
	})
}
