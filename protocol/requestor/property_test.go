package requestor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// step is one thing that happens to a model.
type step struct {
	what  int // 0-5 a lease or its renewal, 6-7 a release, 8 connections end, 9 history is forgotten
	who   byte
	key   int
	way   int
	after time.Duration
}

func drawStep(t *rapid.T) step {
	return step{
		what: rapid.IntRange(0, 9).Draw(t, "what"), who: byte('a' + rapid.IntRange(0, 3).Draw(t, "who")), key: rapid.IntRange(0, 7).Draw(t, "key"),
		way: rapid.IntRange(0, 3).Draw(t, "way"), after: time.Duration(rapid.SampledFrom([]int{0, 1, 300, 1000, 2500, 20_000}).Draw(t, "after")) * time.Millisecond,
	}
}

func (s step) take(m *model) {
	switch {
	case s.what <= 5:
		m.happen(happening{who: s.who, key: s.key})
	case s.what <= 7:
		m.happen(happening{key: s.key, ended: true})
	case s.what == 8:
		m.sever(s.way)
	default:
		m.forget()
	}
}

// Whatever happens, and however often the subscription breaks off and data is missing, in the end the table is what the servers have;
// so is a table that was made of the events alone.
func TestReplicaBecomesTheServersState(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(drawStep), 1, 60).Draw(rt, "steps")
		full := rapid.Bool().Draw(rt, "full")
		slow := time.Duration(rapid.SampledFrom([]int{0, 1, 400, 3000}).Draw(rt, "slow")) * time.Millisecond
		ahead := rapid.IntRange(0, len(steps)).Draw(rt, "ahead")
		if !full {
			ahead = 0 // there must be nothing before a subscription that begins now
		}
		var diff string
		synctest.Test(t, func(t *testing.T) { diff = follow(t, steps[:ahead], steps[ahead:], full, slow) })
		if diff != "" {
			rt.Fatal(diff)
		}
	})
}

// follow watches a model through the steps, and tells what is different in the end.
func follow(t *testing.T, before, steps []step, full bool, slow time.Duration) string {
	m := newModel(t, slow)
	for _, s := range before {
		s.take(m)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Hour)
	defer cancel()
	subscribed, over := make(chan struct{}), make(chan struct{})
	var began, ready bool
	last := uint32(0) // a base time behind everything; 0 while there is more to come
	q := byRelay
	q.Full, q.Table = full, NewReplica(0)
	own := NewReplica(0)
	var log []string
	go func() {
		<-subscribed
		for _, s := range steps {
			pause(s.after)
			s.take(m)
		}
		pause(2 * time.Second)
		close(over)
	}()
	err := Watch(ctx, []string{"a", "b"}, Config{ClientID: ownID, Dial: m.dial}, q, func(e *Event) error {
		log = append(log, wrote(e))
		if err := own.Apply(e); err != nil {
			return err
		}
		if !began && e.Kind == EventSubscribed {
			began = true
			close(subscribed)
		}
		select {
		case <-over:
			if !ready {
				ready, last = true, m.now()
			}
		default:
		}
		if ready && e.HasResume && int32(e.Resume-last) > 0 {
			cancel()
		}
		return nil
	})
	cancel()
	m.gone.Wait()
	if !errors.Is(err, context.Canceled) {
		return fmt.Sprintf("Watch: %v\n%v", err, log)
	}
	want := m.table()
	if diff := cmp.Diff(want, leased(q.Table)); diff != "" {
		return fmt.Sprintf("table (-want +got):\n%s%v", diff, log)
	}
	if diff := cmp.Diff(want, leased(own)); diff != "" {
		return fmt.Sprintf("table from events (-want +got):\n%s%v", diff, log)
	}
	return ""
}

// leased is what a table holds, in lines as model.table writes them. Transactions are of clients: those of bindings that were told of
// before their client's last one are older.
func leased(r *Replica) (out []string) {
	for _, h := range r.Holdings() {
		b := h.Prefix.Addr().As16()
		out = append(out, fmt.Sprintf("%d %c until %d", b[15], h.DUID[2], h.ValidUntil))
	}
	return out
}

// table is what holds in the model.
func (m *model) table() (out []string) {
	var keys []int
	for k := range m.leases {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		l := m.leases[k]
		out = append(out, fmt.Sprintf("%d %c until %d", k, l.who, l.got+modelValid))
	}
	return out
}
