package fsm

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestWaitReturnsWhenTheEntryIsApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, f := newLog(t), newFSM(t)
		woken := make(chan uint64, 10)
		for _, index := range []uint64{3, 1, 2, 2, 5} {
			go func() {
				if err := f.Wait(t.Context(), index); err == nil {
					woken <- index
				}
			}()
		}
		if err := f.Wait(t.Context(), 0); err != nil {
			t.Errorf("wait for what was applied: %v", err)
		}
		synctest.Wait()
		for i, want := range []int{1, 2, 1, 0} {
			apply(t, f, b.tick(0))
			synctest.Wait()
			if got := len(woken); got != want {
				t.Errorf("entry %d woke %d, want %d", i+1, got, want)
			}
			for range len(woken) {
				if index := <-woken; index != uint64(i+1) {
					t.Errorf("entry %d woke who waits for %d", i+1, index)
				}
			}
		}
		// A restore counts as having applied all that is in the snapshot.
		g := newFSM(t)
		c := newLog(t)
		for range 6 {
			apply(t, g, c.tick(0))
		}
		if err := f.Restore(closer{snapshotReader(t, g)}); err != nil {
			t.Fatal(err)
		}
		if index := <-woken; index != 5 {
			t.Errorf("the restore woke who waits for %d", index)
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, f := newLog(t), newFSM(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		enough := errors.New("enough")
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- f.Wait(ctx, 2) }()
		go func() { second <- f.Wait(t.Context(), 2) }()
		synctest.Wait()
		apply(t, f, b.tick(0))
		cancel(enough)
		if err := <-first; !errors.Is(err, enough) || err.Error() != "wait for log entry 2, applied 1: enough" {
			t.Errorf("error %v", err)
		}
		if n := len(f.waiters.waiting); n != 1 {
			t.Errorf("%d wait, want the other alone", n)
		}
		apply(t, f, b.tick(0))
		if err := <-second; err != nil {
			t.Errorf("the other: %v", err)
		}
		if err := f.Wait(ctx, 2); err != nil {
			t.Errorf("wait for an applied entry with an ended context: %v", err)
		}
	})
}
