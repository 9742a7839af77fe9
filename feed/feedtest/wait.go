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

// Until calls ok until it returns nil: often at first, and less often the longer it has waited. If that never happens the test fails
// with its last error.
func Until(tb testing.TB, what string, ok func(ctx context.Context) error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), Patience)
	defer cancel()
	for begun := time.Now(); ; {
		err := ok(ctx)
		if err == nil {
			return
		}
		if _, never := errors.AsType[*neverError](err); never {
			tb.Fatalf("%s: %v", what, err)
		}
		select {
		case <-time.After(min(max(time.Since(begun)/8, 50*time.Millisecond), 500*time.Millisecond)):
		case <-ctx.Done():
			tb.Fatalf("never: %s: %v", what, err)
		}
	}
}

// neverError is an error that waiting does not heal.
type neverError struct{ error }

func (e *neverError) Unwrap() error { return e.error }
