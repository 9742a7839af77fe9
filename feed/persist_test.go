package feed

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// failing is a source that fails some times, and tells when it was begun.
type failing struct {
	left  int
	began []time.Time
}

func (f *failing) Run(ctx context.Context, sink Sink) error {
	f.began = append(f.began, time.Now())
	if f.left--; f.left >= 0 {
		return errors.Join(sink.Change(ctx, leaseOf(f.left)), errors.New("no such file"))
	}
	return nil
}

// persisting is a sink into a window without bounds.
func persisting() *sink {
	return &sink{config: DefaultConfig(), window: newWindow(1 << 40), bodies: newBodies(1000), now: time.Now, stated: func(time.Time) {}}
}

func TestPersistentSourceBeginsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{left: 9}
		p := Persistent(f, nil)
		done, sink := make(chan error), persisting()
		go func() { done <- p.Run(t.Context(), sink) }()
		synctest.Wait()
		if n, _ := sink.window.waiting(); n != 1 {
			t.Errorf("%d changes are on their way that were stated before the failure, want 1", n)
		}
		if got := p.Condition().Trouble; got != "no such file" {
			t.Errorf("trouble %q while it waits", got)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got := p.Condition().Trouble; got != "" || len(f.began) != 10 {
			t.Errorf("trouble %q after %d runs", got, len(f.began))
		}
		for i, wait := 1, persistMin; i < len(f.began); i, wait = i+1, min(2*wait, persistMax) {
			if got := f.began[i].Sub(f.began[i-1]); got < wait/2 || got > wait+1 {
				t.Errorf("run %d began %v after the one before, want %v to %v", i, got, wait/2, wait)
			}
		}
	})
}

func TestPersistentSourceEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- Persistent(&failing{left: 1 << 20}, nil).Run(ctx, persisting()) }()
		<-time.After(time.Hour) // of the bubble
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
