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

// lasting is a source that follows its server for ever, and tells how often it has stated everything.
type lasting struct{ runs int }

func (s *lasting) Run(ctx context.Context, sink Sink) error {
	s.runs++
	if err := errors.Join(sink.BeginResync(ctx, false), sink.EndResync(ctx), sink.Change(ctx, leaseOf(s.runs))); err != nil {
		return err
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

func TestPersistentSourceIsAskedToBeginAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, sink := &lasting{}, persisting()
		p := Persistent(s, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx, sink) }()
		for n := 1; n <= 5; n++ {
			synctest.Wait()
			if s.runs != n {
				t.Fatalf("run %d at once, want %d", s.runs, n)
			}
			if got := p.Condition().Trouble; got != "" {
				t.Errorf("trouble %q although nothing failed", got)
			}
			p.Again()
		}
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestPersistentSourceDoesNotRestWhenAsked: somebody has mended what it failed for.
func TestPersistentSourceDoesNotRestWhenAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{left: 1}
		p := Persistent(f, nil)
		done := make(chan error)
		go func() { done <- p.Run(t.Context(), persisting()) }()
		synctest.Wait()
		p.Again()
		if err := <-done; err != nil || len(f.began) != 2 || f.began[1] != f.began[0] {
			t.Errorf("%v; runs at %v", err, f.began)
		}
	})
}
