package bulk

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/active"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// Subscriptions are limited in all, by requestor, and by the requestor's stanza. Whoever comes when the places are taken gets QueryTerminated
// and the close; a place is free again once its subscription is over.
func TestRFC7653SubscriptionsAreLimited(t *testing.T) {
	stanza := loopback(func(r *leasequery.Requestor) { r.MaxSubscriptions = 2 })
	for name, tc := range map[string]struct {
		active    active.Config
		requestor []leasequery.Requestor
		why       string
	}{
		"in all":           {active.Config{MaxSubscriptions: 2}, nil, active.RefusedLimit},
		"of a requestor":   {active.Config{MaxSubscriptionsPerRequestor: 2}, nil, active.RefusedRequestor},
		"by its stanza":    {active.Config{MaxSubscriptionsPerRequestor: 9}, []leasequery.Requestor{stanza}, active.RefusedRequestor},
		"by a high stanza": {active.Config{MaxSubscriptionsPerRequestor: 1}, []leasequery.Requestor{stanza}, active.RefusedRequestor},
	} {
		t.Run(name, func(t *testing.T) {
			m := activeHouse(t)
			s := serveState(t, m, inClear(func(c *Config) {
				tc.active.Enabled, tc.active.Insecure = true, true
				c.Active = tc.active
			}), leasequery.Config{}, tc.requestor...)
			var open []*wire
			for range 2 {
				w := dialWire(t, s.addr)
				w.send(subscribe(1))
				w.expect(subscribed(1, base(0)))
				open = append(open, w)
			}
			w := dialWire(t, s.addr)
			w.send(subscribe(2))
			w.expectText(subscribed(2, base(0)), stTerminated)
			w.expectEnd()
			if n := s.metric(t, active.MetricRefused, tc.why); n != 1 {
				t.Errorf("%s{%s} = %v, want 1", active.MetricRefused, tc.why, n)
			}
			if err := open[0].Close(); err != nil {
				t.Fatal(err)
			}
			await(t, "a place is free", func() bool { return s.metric(t, active.MetricSubscriptions, "") == 1 })
			w = dialWire(t, s.addr)
			w.send(subscribe(3))
			w.expect(subscribed(3, base(0)))
			m.put(t, 1500, leaseB)
			for id, w := range map[int]*wire{1: open[1], 3: w} {
				w.expect(update(id, base(1500), updateB))
			}
		})
	}
}

// A subscription is one of its requestor's connections, and is never an idle one: neither one that makes room nor one whose time passes.
func TestRule16SubscriptionIsNotIdle(t *testing.T) {
	nobody := lq(qClientID, "::", opt(optClientID, []byte("nobody")))
	t.Run("makes no room", func(t *testing.T) {
		m := activeHouse(t)
		s := serveState(t, m, inClear(func(c *Config) { c.MaxConnections = 2 }), leasequery.Config{})
		sub := dialWire(t, s.addr)
		sub.send(subscribe(1))
		sub.expect(subscribed(1, base(0)))
		for range 3 {
			w := dialWire(t, s.addr) // each makes room for the next
			w.send(lqMsg(2, nobody))
			w.expect(answerOK(2))
		}
		m.put(t, 1500, leaseB)
		sub.expect(update(1, base(1500), updateB))
	})
	t.Run("its time does not pass", func(t *testing.T) {
		m := activeHouse(t)
		s := serveState(t, m, inClear(func(c *Config) { c.IdleTimeout = 50 * time.Millisecond }), leasequery.Config{})
		sub := dialWire(t, s.addr)
		sub.send(subscribe(1))
		sub.expect(subscribed(1, base(0)))
		dialWire(t, s.addr).expectEnd() // one that came later and is idle
		m.put(t, 1500, leaseB)
		sub.expect(update(1, base(1500), updateB))
	})
}

// onPipes is a server of a moving state in a bubble, where time is fake.
func onPipes(t *testing.T, m *moving, config Config, engine leasequery.Config) *fixture {
	t.Helper()
	registry := prometheus.NewRegistry()
	s := New(config, leasequery.New(engine, m), loopbackPolicy(t), nil, NewMetrics(registry))
	f := &fixture{Server: s, script: &script{}, pipes: newPipes(), registry: registry, ran: make(chan error, 1)}
	return f.start(t)
}

// readFrame is the next message, and how long it took to come.
func readFrame(t *testing.T, c net.Conn, frames *dhcpv6.Reader) ([]byte, time.Duration) {
	t.Helper()
	begun := time.Now()
	b, err := frames.Next()
	if err != nil {
		t.Fatal(err)
	}
	return frame(b), time.Since(begun)
}

// soon is more than what passes from a change until a subscription that has just looked looks again.
const soon = 5 * time.Millisecond

// A subscription that has had nothing to tell for ACTIVE_LQ_IDLE_TIMEOUT sends a LEASEQUERY-DATA of the base time alone, which is the newest
// moment; none comes while there is data.
func TestRFC7653IdleMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := activeHouse(t)
		f := onPipes(t, m, inClear(), leasequery.Config{})
		c := f.dial()
		frames := dhcpv6.NewReader(c, nil)
		expect := func(want []byte, after time.Duration) {
			t.Helper()
			got, took := readFrame(t, c, frames)
			if diff := cmp.Diff(dump(want), dump(got)); diff != "" || took < after || took > after+soon {
				t.Fatalf("after %v, want it after %v (-want +got):\n%s", took, after, diff)
			}
		}
		send(t, c, subscribe(1, lq(qLink, "2001:db8:1::1")))
		expect(subscribed(1, base(0)), 0)
		m.pass(60_000)
		expect(update(1, base(60_000)), 60*time.Second)
		m.pass(60_000)
		expect(update(1, base(120_000)), 60*time.Second)
		for n := range 10 { // data each 50 s: it is never silent for 60 s
			pass(50 * time.Second)
			m.put(t, 50_000, renewed(leaseB, n))
			expect(update(1, base(170_000+n*50_000), client("client-b", 170+n*49, iaAddr("2001:db8:1::b", 3430-uint32(n)*49, 7030-uint32(n)*49))), 0)
		}
		pass(30 * time.Second)
		m.put(t, 30_000, at(lease(binding.NA, "2001:db8:5::1", "client-e", nil), "elsewhere")) // not on the link
		expect(update(1, base(650_000)), 30*time.Second)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := f.metric(t, active.MetricIdle, ""); n != 3 {
			t.Errorf("%v idle messages counted, want 3", n)
		}
		f.stop(t)
	})
}

// A subscriber may leave a buffer unread for exactly ACTIVE_LQ_SEND_TIMEOUT, however it trickles.
func TestRFC7653SendTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := activeHouse(t)
		f := onPipes(t, m, inClear(), leasequery.Config{})
		c := f.dial()
		send(t, c, subscribe(1))
		want := subscribed(1, base(0))
		for range want {
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		m.put(t, 1500, leaseB)
		begun := time.Now()
		for {
			pass(9 * time.Second)
			if _, err := c.Read(make([]byte, 1)); err != nil {
				break
			}
		}
		if d := time.Since(begun); d < 120*time.Second || d > 129*time.Second {
			t.Errorf("closed after %v, want 2 minutes", d)
		}
		if n := f.metric(t, active.MetricEnded, string(endStalled)); n != 1 {
			t.Errorf("%s{%s} = %v, want 1", active.MetricEnded, endStalled, n)
		}
		f.stop(t)
	})
}
