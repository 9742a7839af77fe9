//go:build linux

package feedtest

import (
	"context"
	"errors"
	"testing"
	"time"
)

// Patience ends waits for what never comes. No test depends on how long anything takes.
const Patience = 5 * time.Minute

// Until calls ok, often, until it returns nil. If that never happens the test fails with its last error.
func Until(tb testing.TB, what string, ok func(ctx context.Context) error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), Patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok(ctx)
		if err == nil {
			return
		}
		if _, never := errors.AsType[*neverError](err); never {
			tb.Fatalf("%s: %v", what, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tb.Fatalf("never: %s: %v", what, err)
		}
	}
}

// neverError is an error that waiting does not heal.
type neverError struct{ error }

func (e *neverError) Unwrap() error { return e.error }
