package active

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// late is a member on which the next change comes in the very moment in which it is woken for the one before.
type late struct {
	feed  *feed
	wakes atomic.Int64
}

func (m *late) Wake() {
	if m.wakes.Add(1) == 1 {
		m.feed.change()
	}
}

// A change that comes while members are woken is not left to the look of the next second: they may have looked before it.
func TestAChangeDuringAWakeIsFollowedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &feed{}
		m := &late{feed: f}
		h := NewHub(Config{}, f.changed, nil)
		defer run(h)()
		h.Join(m, &Share{}, 0)
		<-time.After(2 * pace)
		synctest.Wait()
		if n := m.wakes.Load(); n != 2 {
			t.Errorf("%d wakes, want one for each of two changes", n)
		}
	})
}
