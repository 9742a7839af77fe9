package clustertest

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// SoakFor is how long random faults go on: LEASEHOLD_SOAK, or short.
func SoakFor(tb testing.TB, short time.Duration) time.Duration {
	tb.Helper()
	s := os.Getenv("LEASEHOLD_SOAK")
	if s == "" {
		return short
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		tb.Fatalf("LEASEHOLD_SOAK: %v", err)
	}
	return d
}

// Seed is LEASEHOLD_SEED, or the time. It is logged, so that a run that failed can be run again.
func Seed(tb testing.TB) uint64 {
	tb.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("LEASEHOLD_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			tb.Fatalf("LEASEHOLD_SEED: %v", err)
		}
	}
	tb.Logf("seed %d", seed)
	return seed
}
