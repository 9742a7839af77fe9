package main

import (
	"runtime"
	"testing"
)

func TestHeadroomShrinksAsTheHeapGrows(t *testing.T) {
	for _, tc := range []struct {
		live uint64
		want int
	}{{0, 100}, {1 << 20, 100}, {64 << 20, 100}, {128 << 20, 50}, {320 << 20, 20}, {10 << 30, 20}} {
		if got := headroomPercent(tc.live); got != tc.want {
			t.Errorf("%d octets live: %d %%, want %d", tc.live, got, tc.want)
		}
	}
	if runtime.GC(); liveHeap() == 0 {
		t.Error("the runtime does not tell how large the heap is")
	}
}
