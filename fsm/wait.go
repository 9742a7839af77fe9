package fsm

import (
	"container/heap"
	"context"
	"fmt"
	"sync"
)

// waiters are the callers that wait for an index to be applied.
type waiters struct {
	mu      sync.Mutex
	applied uint64
	waiting waiterHeap
}

type waiter struct {
	index uint64
	done  chan struct{} // closed when the index was applied
	at    int           // in the heap; -1 once out of it
}

// advance wakes everybody who waits for index or less.
func (w *waiters) advance(index uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.applied = max(w.applied, index)
	for len(w.waiting) > 0 && w.waiting[0].index <= w.applied {
		close(heap.Pop(&w.waiting).(*waiter).done)
	}
}

// wait returns when index was applied, or when ctx ends.
func (w *waiters) wait(ctx context.Context, index uint64) error {
	w.mu.Lock()
	if index <= w.applied {
		w.mu.Unlock()
		return nil
	}
	me := &waiter{index: index, done: make(chan struct{})}
	heap.Push(&w.waiting, me)
	w.mu.Unlock()
	select {
	case <-me.done:
		return nil
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if me.at >= 0 {
		heap.Remove(&w.waiting, me.at)
	}
	if index <= w.applied {
		return nil
	}
	return fmt.Errorf("wait for log entry %d, applied %d: %w", index, w.applied, context.Cause(ctx))
}

// waiterHeap has the lowest index first.
type waiterHeap []*waiter

func (h waiterHeap) Len() int           { return len(h) }
func (h waiterHeap) Less(i, j int) bool { return h[i].index < h[j].index }

// Swap exchanges two waiters.
func (h waiterHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push adds a waiter; heap.Push calls it.
func (h *waiterHeap) Push(x any) {
	w := x.(*waiter)
	w.at = len(*h)
	*h = append(*h, w)
}

// Pop takes the last waiter; heap.Pop calls it.
func (h *waiterHeap) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	last.at = -1
	return last
}
