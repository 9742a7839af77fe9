package bulk

import (
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// askTimes sends queries at once and tells after how long the last of them was answered, whole and in order.
func askTimes(t *testing.T, c net.Conn, queries int) time.Duration {
	t.Helper()
	begun := time.Now()
	go func() {
		for id := range queries {
			send(t, c, ask(byte(id), 0))
		}
	}()
	frames := dhcpv6.NewReader(c, nil)
	for id := range queries {
		got, err := readOne(frames)
		if err != nil || got.ID != byte(id) || got.Status != "" {
			t.Fatalf("answer %d: %+v, %v", id, got, err)
		}
	}
	return time.Since(begun)
}

// What a requestor sends beyond its rate is not read until its time has come: nothing is lost, and nobody else waits.
func TestRule17Rate(t *testing.T) {
	stanza := leasequery.Requestor{Name: "stanza", Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8:1::/48")}, Rate: 2, Burst: 3}
	burst := leasequery.Requestor{Name: "burst", Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8:2::/48")}, Burst: 15}
	others := leasequery.Requestor{Name: "others", Prefixes: []netip.Prefix{netip.MustParsePrefix("::/0")}}
	for name, tc := range map[string]struct {
		config Config
		from   string
		want   time.Duration // for 25 queries at once
	}{
		"no limit":                         {Config{}, "::1", 0},
		"rate and burst":                   {Config{Rate: 10, Burst: 5}, "::1", 2 * time.Second},
		"rate alone: two seconds at once":  {Config{Rate: 10}, "::1", 500 * time.Millisecond},
		"under one a second":               {Config{Rate: 0.1}, "::1", 240 * time.Second},
		"a stanza's own":                   {Config{Rate: 10, Burst: 5}, "2001:db8:1::1", 11 * time.Second},
		"a stanza's own, no limit for all": {Config{}, "2001:db8:1::1", 11 * time.Second},
		"a stanza's own burst":             {Config{Rate: 10, Burst: 5}, "2001:db8:2::1", time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				policy := policyOf(t, stanza, burst, others)
				f := newFixture(t, tc.config, &script{})
				f.policy = policy
				f.start(t)
				if d := askTimes(t, f.pipes.dial(netip.MustParseAddr(tc.from)), 25); d != tc.want {
					t.Errorf("25 queries took %v, want %v", d, tc.want)
				}
				if d := askTimes(t, f.pipes.dial(netip.MustParseAddr("2001:db8:99::1")), 1); d != 0 {
					t.Errorf("another requestor waited for %v", d)
				}
				if n := f.metric(t, MetricPaced, ""); (n > 0) != (tc.want > 0) {
					t.Errorf("%s = %v", MetricPaced, n)
				}
				if n := f.metric(t, MetricDiscarded, ""); n != 0 {
					t.Errorf("%v messages were discarded", n)
				}
				f.stop(t)
			})
		})
	}
}

// The same over a socket: what is sent at once is all answered, of both kinds, in order.
func TestRule17RateOverASocket(t *testing.T) {
	s := serveState(t, activeHouse(t), inClear(), leasequery.Config{}, loopback(func(r *leasequery.Requestor) { r.Rate, r.Burst = 20, 2 }))
	w := dialWire(t, s.addr)
	nobody := lq(qClientID, "::", opt(optClientID, []byte("nobody")))
	var all []byte
	for id := range 8 {
		all = append(all, lqMsg(id, nobody)...)
	}
	w.send(all, subscribe(8))
	for id := range 8 {
		w.expect(answerOK(id))
	}
	w.expect(subscribed(8, base(0)))
	if n := s.metric(t, MetricPaced, ""); n == 0 {
		t.Error("nothing had to wait")
	}
}

// A requestor does not begin anew by opening another connection, and is forgotten once it may send all that it could at first.
func TestRule17RateIsOfTheRequestor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{Rate: 1, Burst: 10}, &script{}).start(t)
		for round := range 2 {
			for n := range 2 {
				c := f.dial()
				if d := askTimes(t, c, 10); d != time.Duration(n)*10*time.Second {
					t.Errorf("round %d, connection %d: %v for 10 queries", round, n, d)
				}
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
			}
			pass(5 * time.Second)
			if n := f.requestors(); n != 1 {
				t.Errorf("%d requestors known while the rate is being paid back, want 1", n)
			}
			pass(7 * time.Second)
			if n := f.requestors(); n != 0 {
				t.Errorf("%d requestors known when it is, want 0", n)
			}
		}
		f.stop(t)
	})
}

// requestors is how many requestors are known.
func (f *fixture) requestors() int {
	f.admission.mu.Lock()
	defer f.admission.mu.Unlock()
	return len(f.admission.requestors)
}

// What waits for its time does not hold up the end of the connection.
func TestRule17PacedQueryEndsWithItsConnection(t *testing.T) {
	for name, stop := range map[string]func(*fixture, net.Conn){
		"closed by the requestor, then drained": func(f *fixture, c net.Conn) { _ = c.Close(); f.cancel() },
		"drained":                               func(f *fixture, _ net.Conn) { f.cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, Config{Rate: 0.001, Burst: 1}, &script{}).start(t)
				c := f.dial()
				if d := askTimes(t, c, 1); d != 0 {
					t.Fatalf("the first query took %v", d)
				}
				send(t, c, ask(2, 0))
				synctest.Wait()
				begun := time.Now()
				stop(f, c)
				f.stop(t)
				if d := time.Since(begun); d > lingerTimeout {
					t.Errorf("the server took %v to stop", d)
				}
			})
		})
	}
}

// A connection that waits for its time makes room like an idle one.
func TestRule16PacedConnectionMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{Rate: 0.001, Burst: 1, MaxConnections: 1}, &script{}).start(t)
		c := f.dial()
		askTimes(t, c, 1)
		send(t, c, ask(2, 0))
		synctest.Wait()
		other := f.pipes.dial(netip.MustParseAddr("127.0.0.1"))
		if d := askTimes(t, other, 1); d != 0 {
			t.Errorf("the newcomer waited for %v", d)
		}
		if _, err := readAll(c); !isEnd(err) {
			t.Errorf("the paced connection: %v, want its end", err)
		}
		f.stop(t)
	})
}
