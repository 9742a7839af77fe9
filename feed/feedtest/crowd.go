//go:build linux

package feedtest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// Crowd has clients do something, so many a second, and waits until all have done it. The errors come joined, at most five of them.
// rate 0: at most 64 at once, as fast as the server answers.
func Crowd(ctx context.Context, clients []*Client, rate int, do func(*Client, context.Context) error) error {
	var (
		mu    sync.Mutex
		errs  []error
		count int
		wait  sync.WaitGroup
		gate  = make(chan struct{}, 64)
	)
	begin := time.Now()
	for i, c := range clients {
		if rate > 0 {
			t := time.NewTimer(time.Until(begin.Add(time.Duration(i) * time.Second / time.Duration(rate))))
			select {
			case <-t.C:
			case <-ctx.Done():
			}
			t.Stop()
		} else {
			gate <- struct{}{}
		}
		wait.Go(func() {
			if rate == 0 {
				defer func() { <-gate }()
			}
			if err := do(c, ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if count++; count <= 5 {
					errs = append(errs, err)
				}
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// Do is Crowd that fails the test. Exchanges that the server does not answer end after Patience.
func Do(tb testing.TB, clients []*Client, do func(*Client, context.Context) error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), Patience)
	defer cancel()
	if err := Crowd(ctx, clients, 0, do); err != nil {
		tb.Fatal(err)
	}
}
