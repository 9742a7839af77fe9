package main

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	heapHeadroom  = 64 << 20 // octets that may be allocated between two garbage collections, however small the heap is
	leastHeadroom = 20       // percent of the heap, however large it is
	headroomEvery = 2 * time.Second
)

// boundHeadroom keeps the memory that waits for the garbage collector small beside the state. The store's pages hold hardly any
// pointers, so collecting often costs little; the default of doubling the heap would double the memory of a node. It runs until
// ctx ends, and does nothing where the GOGC variable says what is wanted.
func boundHeadroom(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	tick := time.NewTicker(headroomEvery)
	defer tick.Stop()
	for {
		debug.SetGCPercent(headroomPercent(liveHeap()))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// headroomPercent is how much a heap of so many octets may grow before it is collected.
func headroomPercent(live uint64) int {
	return int(math.Max(leastHeadroom, math.Min(100, float64(heapHeadroom)*100/float64(max(live, 1)))))
}

// liveHeap is how many octets the newest collection left.
func liveHeap() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return s[0].Value.Uint64()
}
