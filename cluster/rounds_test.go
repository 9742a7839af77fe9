package cluster

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestRoundBeginsAfterTheCall joins while a round is under way: its answer is not shared with the newcomer.
func TestRoundBeginsAfterTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := uint64(0)
		release := make(chan struct{})
		r := newRounds(func(context.Context) (ReadIndex, error) {
			asked++
			n := asked
			<-release
			return ReadIndex{Index: n}, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.run(ctx)
		}()
		answers := make(chan uint64, 10)
		join := func() {
			ri, err := r.join(t.Context())
			if err != nil {
				t.Error(err)
			}
			answers <- ri.Index
		}
		go join()
		synctest.Wait() // the first round is under way
		for range 5 {
			go join()
		}
		synctest.Wait()
		release <- struct{}{}
		if got := <-answers; got != 1 {
			t.Errorf("first caller got round %d", got)
		}
		release <- struct{}{}
		for range 5 {
			if got := <-answers; got != 2 {
				t.Errorf("caller during round 1 got round %d, want 2", got)
			}
		}
		synctest.Wait()
		if asked != 2 {
			t.Errorf("asked %d times, want 2", asked)
		}
		cancel()
		<-ended
		if _, err := r.join(t.Context()); !errors.Is(err, ErrNotRunning) {
			t.Errorf("join after the end: %v", err)
		}
	})
}

func TestRoundCallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRounds(func(context.Context) (ReadIndex, error) { return ReadIndex{}, nil })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.join(ctx); !errors.Is(err, context.DeadlineExceeded) { // nobody runs it
			t.Errorf("join: %v", err)
		}
	})
}

func TestConfirmTerm(t *testing.T) {
	const term = 5
	down := errors.New("connection refused")
	for _, tc := range []struct {
		name    string
		answers []termAnswer
		ok      bool
	}{
		{"alone", []termAnswer{{term: term}}, true},
		{"two of three", []termAnswer{{term: term}, {err: down}, {term: term}}, true},
		{"one of three", []termAnswer{{term: term}, {err: down}, {err: down}}, false},
		{"newer term", []termAnswer{{term: term}, {term: term + 1}, {term: term + 1}}, false},
		{"one in a newer term", []termAnswer{{term: term + 1}, {term: term}, {term: term}}, true},
		{"half of four", []termAnswer{{term: term}, {term: term}, {err: down}, {err: down}}, false},
		{"three of five", []termAnswer{{err: down}, {term: term}, {term: term}, {err: down}, {term: term}}, true},
	} {
		answers := make(chan termAnswer, len(tc.answers))
		for _, a := range tc.answers {
			answers <- a
		}
		err := confirmTerm(answers, len(tc.answers), term)
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
		if err != nil && !errors.Is(err, ErrNotLeader) {
			t.Errorf("%s: %v is not ErrNotLeader", tc.name, err)
		}
	}
}
