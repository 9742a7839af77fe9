package binding

import "testing"

func TestConflictTable(t *testing.T) {
	const ignored, effect = false, true
	for _, row := range []struct {
		event              Event
		ended, swept       bool
		sameSource         bool // of any age
		older              bool
		equalLow, equalTop bool // the reporting source's name sorts before, or after, the owner's
		newer              bool
	}{
		{Upsert, false, false, effect, ignored, ignored, effect, effect},
		{Upsert, true, true, effect, effect, effect, effect, effect},
		{Upsert, true, false, effect, ignored, ignored, ignored, effect},
		{End, false, false, effect, ignored, effect, effect, effect},
		{End, true, false, ignored, ignored, ignored, ignored, ignored},
		{End, true, true, ignored, ignored, ignored, ignored, ignored},
	} {
		for _, age := range []Age{Older, Equal, Newer} {
			for _, higher := range []bool{false, true} {
				news := News{Event: row.event, Ended: row.ended, Swept: row.swept, SameSource: true, Age: age, Higher: higher}
				if got := news.Wins(); got != row.sameSource {
					t.Errorf("%+v wins: %v, want %v", news, got, row.sameSource)
				}
				news.SameSource = false
				want := map[Age]bool{Older: row.older, Equal: row.equalLow, Newer: row.newer}[age]
				if age == Equal && higher {
					want = row.equalTop
				}
				if got := news.Wins(); got != want {
					t.Errorf("%+v wins: %v, want %v", news, got, want)
				}
			}
		}
	}
}

// TestTiesAreSettledOneWay wants two sources that report a binding with the same time to leave the same owner in any order.
func TestTiesAreSettledOneWay(t *testing.T) {
	low := News{Event: Upsert, Age: Equal, Higher: false}
	high := News{Event: Upsert, Age: Equal, Higher: true}
	if low.Wins() || !high.Wins() {
		t.Error("the owner depends on who came first")
	}
}

func TestCompareAge(t *testing.T) {
	for _, tc := range []struct {
		t, known Time
		want     Age
	}{{1, 2, Older}, {2, 2, Equal}, {3, 2, Newer}, {-1, 0, Older}} {
		if got := CompareAge(tc.t, tc.known); got != tc.want {
			t.Errorf("news of %d beside what is known of %d: %d, want %d", tc.t, tc.known, got, tc.want)
		}
	}
}
