package ingest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/leasehold/leasehold/feed"
	"github.com/leasehold/leasehold/fsm/binding"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// errKilled ends a source as the death of its agent does: nothing more is sent.
var errKilled = errors.New("the agent is killed")

// broken is a source that states the leases of clients 0 to n, and is disturbed before the lease in the middle, and behind the end.
// The first half is in the cluster by then.
type broken struct {
	n              int
	middle, behind func() error
}

// Run states them as a resync.
func (s *broken) Run(ctx context.Context, sink feed.Sink) error {
	if err := sink.BeginResync(ctx, false); err != nil {
		return err
	}
	for i := range s.n {
		if i == s.n/2 && s.middle != nil {
			stated, err := sink.Receipt(ctx)
			if err != nil {
				return err
			}
			select {
			case <-stated:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			if err := s.middle(); err != nil {
				return err
			}
		}
		if err := sink.Change(ctx, upsert(lease(i))); err != nil {
			return err
		}
	}
	if err := sink.EndResync(ctx); err != nil || s.behind == nil {
		return err
	}
	return s.behind()
}

// others are feeders of the source with epochs of their own, as many as make the cluster forget any other.
func (c *trio) others(source string) {
	for epoch := range uint64(8) {
		f := call(c.t, c.Leader().GRPCAddress(), source, 1000+epoch)
		f.welcome()
		f.changes(1, upsert(lease(0)))
		f.acked(1)
		f.hangUp()
	}
}

// TestResyncIsBrokenOff: whatever happens to a resync, no lease goes that the source has, and after the next whole one the cluster
// has what the source has.
func TestResyncIsBrokenOff(t *testing.T) {
	const before, n = 1500, 500
	once := func(f func()) func() error {
		done := sync.OnceFunc(f)
		return func() error { done(); return nil }
	}
	killed := func() error { return errKilled }
	for _, tc := range []struct {
		name   string
		source func(c *trio) *broken
		kills  bool // the agent
		left   int  // leases afterwards; below 0: that depends
		epochs uint64
	}{
		{"agent killed in the middle", func(*trio) *broken { return &broken{middle: killed} }, true, before, 1},
		{"agent killed behind the end", func(*trio) *broken { return &broken{behind: killed} }, true, -1, 1},
		{"epoch forgotten in the middle", func(c *trio) *broken { return &broken{middle: once(func() { c.others("kea") })} }, false, n, 2},
		{"another began in the middle", func(c *trio) *broken {
			return &broken{middle: once(func() {
				f := call(c.t, c.Leader().GRPCAddress(), "kea", 5)
				f.welcome()
				f.batch(resyncBegin(1))
				f.acked(1)
				f.hangUp()
			})}
		}, false, before, 1},
		{"leader killed in the middle", func(c *trio) *broken {
			return &broken{middle: once(func() { c.kill(c.Leader().Index) })}
		}, false, n, 1},
		{"leader killed behind the end", func(c *trio) *broken {
			return &broken{behind: once(func() { c.kill(c.Leader().Index) })}
		}, false, n, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newTrio(t)
			c.run(c.agent("kea", 0, &stated{n: before}))
			source := tc.source(c)
			source.n = n
			a := c.agent("kea", 1, source)
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			if err := a.Run(ctx); err != nil && !(tc.kills && errors.Is(err, errKilled)) {
				t.Fatalf("%v (%+v)", err, a.Totals())
			}
			if got := a.Totals(); got.Epochs != tc.epochs {
				t.Errorf("%d epochs, want %d", got.Epochs, tc.epochs)
			}
			if tc.left >= 0 {
				c.requireLeases(tc.left)
			}
			if got := c.has(n); got != n {
				t.Errorf("%d of %d leases are there that the source has", got, n)
			}
			c.run(c.agent("kea", 2, &stated{n: n}))
			c.requireLeases(n)
		})
	}
}

// has is how many of the leases of clients 0 to n are in force on the leader.
func (c *trio) has(n int) (count int) {
	v := c.Leader().FSM().View()
	defer v.Release()
	var client binding.Client
	for cursor := v.Select(binding.Query{}); cursor.Next(&client); {
		for _, e := range client.Entries {
			a := e.Prefix.Addr().As16()
			if e.State == binding.Active && int(a[13])<<16|int(a[14])<<8|int(a[15]) < n {
				count++
			}
		}
	}
	return count
}

// pair is what two servers have that tell each other everything: leases of clients 0 to stays that stay, and others behind them
// that come and go.
type pair struct {
	stays, goes int

	mu   sync.Mutex
	have map[int]bool
}

// partner is one of the pair's agents, as a source: it states everything, some times, and what changes at its server in between.
type partner struct {
	*pair
	times int
}

// Run states everything some times.
func (s *partner) Run(ctx context.Context, sink feed.Sink) error {
	for range s.times {
		if err := sink.BeginResync(ctx, false); err != nil {
			return err
		}
		for i := range s.stays + s.goes {
			if err := s.row(ctx, sink, i); err != nil {
				return err
			}
		}
		if err := sink.EndResync(ctx); err != nil {
			return err
		}
	}
	return nil
}

// row states one lease if it is there, and, now and then, one that comes or goes.
func (s *partner) row(ctx context.Context, sink feed.Sink, i int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i < s.stays || s.have[i] {
		if err := sink.Change(ctx, upsert(lease(i))); err != nil {
			return err
		}
	}
	if s.goes == 0 || rand.IntN(10) > 0 {
		return nil
	}
	other := s.stays + rand.IntN(s.goes)
	if s.have[other] = !s.have[other]; s.have[other] {
		return sink.Change(ctx, upsert(lease(other)))
	}
	return errors.Join(sink.Change(ctx, ended(&ingestv1.End{Address: lease(other).Address})), sink.Flush(ctx))
}

// TestAgentsOfOneSource: the agents of a pair that share a source, and one of them started twice, state everything at the same time,
// again and again: no lease that both have is away for a moment, and a last statement leaves exactly what there is.
func TestAgentsOfOneSource(t *testing.T) {
	const stays, goes, times = 300, 60, 5
	c := newTrio(t)
	c.run(c.agent("pair", 0, &stated{n: stays}))
	p := &pair{stays: stays, goes: goes, have: map[int]bool{}}
	var feeding sync.WaitGroup
	errs := make(chan error, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	for i := range 3 { // the third is the second's twin
		a := c.agent("pair", i, &partner{pair: p, times: times})
		feeding.Go(func() { errs <- a.Run(ctx) })
	}
	ended := make(chan struct{})
	go func() { feeding.Wait(); close(ended) }()
	looks := 0
	for tick := time.NewTicker(time.Millisecond); ; looks++ {
		if got := c.has(stays); got != stays {
			t.Fatalf("look %d: %d of %d leases that all agents state are there", looks, got, stays)
		}
		select {
		case <-tick.C:
			continue
		case <-ended:
			tick.Stop()
		}
		break
	}
	for range 3 {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	c.run(c.agent("pair", 0, &partner{pair: &pair{stays: stays, goes: goes, have: p.have}, times: 1}))
	want := stays
	for _, has := range p.have {
		if has {
			want++
		}
	}
	c.RequireSameState()
	if got := c.has(1 << 24); got != want {
		t.Errorf("%d leases, want %d", got, want)
	}
	t.Logf("%d looks", looks)
}
