package requestor

import (
	"testing"
	"time"
)

// The waits of leasequery by RFC 5007 4.1.4 (IRT 1 s, MRT 10 s, MRC 5), each within the bounds that RFC 8415 15 leaves to chance.
func TestBackoffLaw(t *testing.T) {
	spread := map[time.Duration]bool{}
	for range 1000 {
		b := backoff{irt: time.Second, mrt: 10 * time.Second, mrc: 5}
		var before time.Duration
		for n := 1; ; n++ {
			wait, again := b.next()
			low, high := 900*time.Millisecond, 1100*time.Millisecond
			if n > 1 {
				low, high = before*19/10, before*21/10
			}
			// What would be above MRT is MRT and its own tenth.
			if (wait < low || wait > high) && !(high > 10*time.Second && wait >= 9*time.Second && wait <= 11*time.Second) {
				t.Fatalf("wait %d is %v, the one before was %v", n, wait, before)
			}
			if again != (n < 5) {
				t.Fatalf("after sending %d times: again is %v", n, again)
			}
			if !again {
				break
			}
			before = wait
			spread[wait] = true
		}
	}
	if len(spread) < 3000 {
		t.Errorf("%d different waits of 4000: requestors would keep step", len(spread))
	}
}

func TestBackoffWithoutBounds(t *testing.T) {
	b := backoff{irt: time.Second}
	var wait time.Duration
	for range 20 {
		var again bool
		if wait, again = b.next(); !again {
			t.Fatal("it ends, and nothing bounds it")
		}
	}
	if wait < 100*time.Hour {
		t.Errorf("20th wait is %v: it has stopped doubling", wait)
	}
}
