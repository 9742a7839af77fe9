package feed

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"
)

// TestPendingIsBoundedInMemory: Config.MaxPending bounds what is kept in memory too, also when every batch is a single change, as
// a server's news are while no node is there: a batch may cost a multiple of its octets, not the room of a full one.
func TestPendingIsBoundedInMemory(t *testing.T) {
	const limit = 4 << 20
	w := newWindow(limit)
	s := &sink{config: DefaultConfig(), window: w, bodies: newBodies(DefaultConfig().BatchOctets), now: time.Now, stated: func(time.Time) {}}
	before := heap()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // so that a push without room fails
	stated := 0
	for {
		err := errors.Join(s.Change(t.Context(), leaseOf(stated)), s.Flush(ctx))
		if errors.Is(err, context.Canceled) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		stated++
	}
	used := heap() - before
	t.Logf("%d changes in %d octets, %d octets of memory", stated, w.octets, used)
	if used > 2*limit {
		t.Errorf("%d octets of memory for at most %d pending", used, limit)
	}
	runtime.KeepAlive(w)
}

// heap is what is in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // pools are emptied by the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
