package udp

import (
	"testing"
	"time"
)

// While a view takes long copies of a query are known as such. Once that is over it is forgotten: whoever asks the same while another
// view takes long is held again.
func TestRoomForgetsWhatWasHeld(t *testing.T) {
	r := newRoom(NewMetrics(nil))
	q := question{octets: make([]byte, 4), end: 4}
	asked := time.Now()
	for turn := range 2 {
		r.waiting(asked)
		if n := r.put([]question{q, q}, asked.Add(2*slowView)); n != 2 {
			t.Fatalf("turn %d: %d questions dealt with, want 2", turn, n)
		}
		if len(r.gathered.questions) == 0 {
			t.Fatalf("turn %d: taken for a copy of one that was answered long ago", turn)
		}
		l := r.take()
		if len(l.questions) != 1 {
			t.Fatalf("turn %d: %d held, want one of two", turn, len(l.questions))
		}
		l.empty() // answered
		r.waiting(time.Time{})
		if len(r.held) != 0 {
			t.Errorf("turn %d: %d are still known", turn, len(r.held))
		}
	}
}
