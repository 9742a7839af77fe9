package active

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// feed is closed channels, one a change: what binding.Feed promises of Changed.
type feed struct {
	mu sync.Mutex
	ch chan struct{}
}

func (f *feed) changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ch == nil {
		f.ch = make(chan struct{})
	}
	return f.ch
}

func (f *feed) change() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ch != nil {
		close(f.ch)
		f.ch = nil
	}
}

// member counts its wakes.
type member struct{ wakes atomic.Int64 }

func (m *member) Wake() { m.wakes.Add(1) }

// run runs a hub in a bubble until the returned function is called.
func run(h *Hub) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { h.Run(ctx) })
	return func() { cancel(); done.Wait() }
}

func TestEveryChangeIsFollowedByAWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m := &feed{}, &member{}
		h := NewHub(Config{}, f.changed, nil)
		defer run(h)()
		if why := h.Join(m, &Share{}, 0); why != "" {
			t.Fatal(why)
		}
		for n := range 50 {
			<-time.After(time.Duration(n%7) * pace / 3)
			before := m.wakes.Load()
			f.change()
			<-time.After(pace)
			synctest.Wait()
			if m.wakes.Load() == before {
				t.Fatalf("change %d: nobody was woken", n)
			}
		}
	})
}

func TestTheFirstChangeWakesAtOnceAndAStreamInPaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m := &feed{}, &member{}
		h := NewHub(Config{}, f.changed, nil)
		defer run(h)()
		h.Join(m, &Share{}, 0)
		<-time.After(10 * pace)
		before := m.wakes.Load()
		f.change()
		synctest.Wait()
		if m.wakes.Load() != before+1 {
			t.Fatal("the first change after a quiet time did not wake at once")
		}
		before = m.wakes.Load()
		const paces = 100
		for range paces * 20 {
			f.change()
			<-time.After(pace / 20)
		}
		if n := m.wakes.Load() - before; n > paces+1 || n < paces-1 {
			t.Errorf("%d wakes in %d paces of 20 changes each", n, paces)
		}
	})
}

func TestMembersLookEachSecondWithoutAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &member{}
		h := NewHub(Config{}, (&feed{}).changed, nil)
		defer run(h)()
		h.Join(m, &Share{}, 0)
		<-time.After(10*time.Second + pace)
		if n := m.wakes.Load(); n != 11 {
			t.Errorf("%d wakes in 10 s without a change, want the first and one a second", n)
		}
	})
}

func TestNobodyIsWokenBehindItsLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m := &feed{}, &member{}
		var s Share
		h := NewHub(Config{}, f.changed, nil)
		defer run(h)()
		for range 3 { // the last one leaves, and the first one comes again
			h.Join(m, &s, 0)
			<-time.After(2 * pace)
			h.Leave(m, &s)
			before := m.wakes.Load()
			for range 10 {
				f.change()
				<-time.After(pace)
			}
			if m.wakes.Load() != before {
				t.Fatal("woken behind Leave")
			}
		}
	})
}

// subscriptions is what the gauge says.
func subscriptions(t *testing.T, registry *prometheus.Registry) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == MetricSubscriptions {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no %s", MetricSubscriptions)
	return 0
}

func TestPlaces(t *testing.T) {
	registry := prometheus.NewRegistry()
	h := NewHub(Config{MaxSubscriptions: 3, MaxSubscriptionsPerRequestor: 2}, (&feed{}).changed, NewMetrics(registry))
	var a, b Share
	members := make([]*member, 5)
	for n := range members {
		members[n] = &member{}
	}
	join := func(n int, s *Share, limit int, want string) {
		t.Helper()
		if why := h.Join(members[n], s, limit); why != want {
			t.Errorf("member %d: %q, want %q", n, why, want)
		}
	}
	join(0, &a, 0, "")
	join(1, &a, 0, "")
	join(2, &a, 0, RefusedRequestor)
	join(2, &b, 0, "")
	join(3, &b, 0, RefusedLimit)
	if n := subscriptions(t, registry); n != 3 {
		t.Errorf("%s = %v, want 3", MetricSubscriptions, n)
	}
	h.Leave(members[0], &a)
	h.Leave(members[0], &a) // once is all
	join(3, &b, 1, RefusedRequestor)
	join(3, &a, 3, "")
	h.Leave(members[1], &a)
	h.Leave(members[2], &b)
	h.Leave(members[3], &a)
	if n := subscriptions(t, registry); n != 0 || a.taken != 0 || b.taken != 0 {
		t.Errorf("%s = %v, shares %d and %d, want none", MetricSubscriptions, n, a.taken, b.taken)
	}
}

func TestDefaults(t *testing.T) {
	c := Config{}.WithDefaults()
	want := Config{MaxSubscriptions: 100, MaxSubscriptionsPerRequestor: 100, IdleInterval: time.Minute, DataTimeout: 2 * time.Minute}
	if c != want {
		t.Errorf("got %+v, want %+v", c, want)
	}
}

// Of those that have much to look through, half as many as there are processors do it at a time; the others wait, or end.
func TestHubTurns(t *testing.T) {
	h := NewHub(Config{Enabled: true}, nil, nil)
	turns := max(1, runtime.GOMAXPROCS(0)/2)
	for range turns {
		if !h.Begin(t.Context()) {
			t.Fatal("no turn")
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if h.Begin(ended) {
		t.Fatal("more turns than half the processors")
	}
	next := make(chan bool)
	go func() { next <- h.Begin(t.Context()) }()
	h.End()
	if !<-next {
		t.Fatal("no turn for who waited")
	}
}
