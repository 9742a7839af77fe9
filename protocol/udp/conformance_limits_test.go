package udp

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/leasehold/leasehold/protocol/leasequery"
)

// until waits for a condition that is about to come true.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for !f() {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("waiting until %s", what)
		}
	}
}

// Rule 17, 18: strangers get silence, whatever they say.
func TestRule18StrangersGetSilence(t *testing.T) {
	r := loopback()
	r.Prefixes = []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}
	s := serve(t, house(t), Config{}, r)
	w := s.dial(t)
	query := ask(1, byAddress("::", "2001:db8:1::c"))
	forw, _ := nested(query, nil, 1)
	all := [][]byte{query, forw, {}, {msgQuery}, msg(msgActive, 1), ask(2, lq(9, "::"))}
	for _, q := range all {
		w.send(q)
	}
	until(t, "all are counted", func() bool { return s.metric(MetricDiscarded, discardStranger) == float64(len(all)) })
	if n := s.metric(MetricAnswers, ""); n != 0 {
		t.Errorf("%v answers", n)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if err := w.c.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if n, from, err := w.c.ReadFromUDPAddrPort(make([]byte, 100)); err == nil {
		t.Errorf("%d octets from %v", n, from)
	}
}

// RFC 5007 5: more queries from one source than its rate allows get no answer.
func TestRule18RateLimit(t *testing.T) {
	s := serve(t, house(t), Config{Rate: 0.001, Burst: 3})
	one, other := s.dial(t), s.dial(t)
	query, want := ask(1, byAddress("::", "2001:db8:1::c")), answer(1, clientBOn1)
	one.exchange(query, want)
	other.exchange(query, want) // the same source, from another port
	one.exchange(query, want)
	one.send(query)
	other.send(query)
	until(t, "both are counted", func() bool { return s.metric(MetricDiscarded, discardRate) == 2 })
	if n := s.metric(MetricAnswers, "direct"); n != 3 {
		t.Errorf("%v answers, want 3", n)
	}
}

// A stanza's own rate goes before.
func TestRule17RateOverUDP(t *testing.T) {
	r := loopback()
	r.Rate, r.Burst = 0.001, 1
	s := serve(t, house(t), Config{}, r)
	w := s.dial(t)
	w.exchange(ask(1, byAddress("::", "2001:db8:1::c")), answer(1, clientBOn1))
	w.send(ask(1, byAddress("::", "2001:db8:1::c")))
	until(t, "the second is counted", func() bool { return s.metric(MetricDiscarded, discardRate) == 1 })
}

func TestLimiter(t *testing.T) {
	begin := time.Now()
	l := newLimiter(begin)
	a := netip.MustParseAddr("2001:db8::1")
	allowed := func(rate float64, burst int, after time.Duration) (n int) {
		for l.allow(a, rate, burst, begin.Add(after)) {
			if n++; n > 1000 {
				return -1
			}
		}
		return n
	}
	for _, tc := range []struct {
		rate  float64
		burst int
		after time.Duration
		want  int
	}{
		{0, 0, 0, -1}, {10, 5, 0, 5}, {10, 5, 99 * time.Millisecond, 0}, {10, 5, 350 * time.Millisecond, 3}, {10, 5, time.Hour, 5},
		{10, 5, time.Minute, 0}, // a clock that went back
		{10, 0, 2 * time.Hour, 20}, {0.1, 0, 3 * time.Hour, 1},
	} {
		if n := allowed(tc.rate, tc.burst, tc.after); n != tc.want {
			t.Errorf("rate %v, burst %d, after %v: %d allowed, want %d", tc.rate, tc.burst, tc.after, n, tc.want)
		}
	}
}

// However many sources are made up, they cost no memory, and one that is honest is served.
func TestLimiterIsOfOneSize(t *testing.T) {
	l := newLimiter(time.Now())
	a := [16]byte{0x20, 1, 0xd, 0xb8}
	now := time.Now()
	n := 0
	allocs := testing.AllocsPerRun(10, func() {
		for range 20_000 {
			n++
			a[13], a[14], a[15] = byte(n>>16), byte(n>>8), byte(n)
			if !l.allow(netip.AddrFrom16(a), 1, 1, now) {
				t.Fatal("a source that was never heard of is over its rate")
			}
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestRule18NotReadyIsSilent(t *testing.T) {
	answering := make(chan struct{})
	s := serve(t, house(t), Config{Answering: answering})
	w := s.dial(t)
	w.send(ask(1, byAddress("::", "2001:db8:1::c")))
	until(t, "it is counted", func() bool { return s.metric(MetricDiscarded, discardStarting) == 1 })
	close(answering)
	w.exchange(ask(2, byAddress("::", "2001:db8:1::c")), answer(2, clientBOn1))
}

// Rule 18: while there is no leader a query is held, once for each source, port and transaction-id, and answered when there is one.
func TestRule18HeldOnce(t *testing.T) {
	w := house(t)
	hold := make(chan struct{})
	w.set(nil, hold)
	s := serve(t, w, Config{Hold: time.Minute})
	a := s.dial(t)
	query := func(id int) []byte { return ask(id, byAddress("::", "2001:db8:1::c")) }
	a.send(query(1))
	// What comes while the view is being waited for is held besides; from a moment on copies are known as such.
	sent := 1
	until(t, "a copy is known", func() bool {
		a.send(query(1))
		sent++
		return s.metric(MetricDiscarded, discardTwice) > 0
	})
	until(t, "all have been read", func() bool {
		return s.metric(MetricReceived, "") == float64(sent) && s.metric(MetricDiscarded, discardTwice) > 0
	})
	a.send(query(2))
	a.send(query(1))
	until(t, "the new one is held", func() bool { return s.metric(MetricReceived, "") == float64(sent+2) })
	before := s.metric(MetricDiscarded, discardTwice)
	a.send(query(1))
	a.send(query(2))
	until(t, "further copies are known", func() bool { return s.metric(MetricDiscarded, discardTwice) >= before+2 })
	if n := s.metric(MetricAnswers, ""); n != 0 {
		t.Errorf("%v answers while there is no leader", n)
	}
	w.set(nil, nil)
	close(hold)
	seen := 0
	for {
		got, _ := a.next()
		if bytes.Equal(got, answer(2, clientBOn1)) {
			break
		}
		if !bytes.Equal(got, answer(1, clientBOn1)) {
			t.Fatalf("answer %x", got)
		}
		seen++
	}
	if seen == 0 {
		t.Error("the first query has no answer")
	}
	a.exchange(query(1), answer(1, clientBOn1)) // nothing is remembered once it is over
	a.exchange(query(1), answer(1, clientBOn1))
}

// Rule 18: a query that was held for as long as may be gets silence; one that is at fault itself is refused all the same.
func TestRule18SilenceBehindTheHold(t *testing.T) {
	w := house(t)
	w.set(nil, make(chan struct{}))
	s := serve(t, w, Config{Hold: 20 * time.Millisecond})
	a := s.dial(t)
	a.send(ask(1, byAddress("::", "2001:db8:1::c")))
	until(t, "it is counted", func() bool { return s.metric(MetricDiscarded, leasequery.DiscardNotFresh) == 1 })
	a.exchange(ask(2, lq(qLink, "2001:db8:1::")), refusal(2, stNotAllowed, "QUERY_BY_LINK_ADDRESS needs TCP"))
	w.set(errors.New("diverged"), nil)
	a.send(ask(3, byAddress("::", "2001:db8:1::c")))
	until(t, "it is counted", func() bool { return s.metric(MetricDiscarded, leasequery.DiscardNotFresh) == 2 })
	w.set(nil, nil)
	a.exchange(ask(4, byAddress("::", "2001:db8:1::c")), answer(4, clientBOn1))
}

// What a node cannot hold is thrown away and counted, and takes nothing from what it does hold.
func TestHoldIsBounded(t *testing.T) {
	w := house(t)
	hold := make(chan struct{})
	w.set(nil, hold)
	s := serve(t, w, Config{Hold: time.Minute})
	a := s.dial(t)
	n := 0
	until(t, "the room is full", func() bool {
		for range 100 {
			n++
			a.send(ask(n, byAddress("::", "2001:db8:1::c")))
		}
		return s.metric(MetricDiscarded, discardOverload) > 0
	})
	w.set(nil, nil)
	close(hold)
	a.expect(answer(1, clientBOn1))
	until(t, "what was held is answered", func() bool {
		return s.metric(MetricAnswers, "direct")+s.metric(MetricDiscarded, discardOverload)+s.metric(MetricDropped, "") == float64(n)
	})
	if held := s.metric(MetricHeld, ""); held == 0 || held > 2*loadQueries {
		t.Errorf("%v were held, want at most %d", held, 2*loadQueries)
	}
}

// RFC 5007 4.4.3, rule 18: what has been read when the server stops is still answered.
func TestRule18AnswersWhatItHasRead(t *testing.T) {
	w := house(t)
	hold := make(chan struct{})
	w.set(nil, hold)
	s := serve(t, w, Config{Hold: time.Minute})
	a := s.dial(t)
	a.send(ask(1, byAddress("::", "2001:db8:1::c")))
	until(t, "it has been read", func() bool { return s.metric(MetricReceived, "") == 1 })
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	close(hold)
	a.expect(answer(1, clientBOn1))
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestRunEnds(t *testing.T) {
	s := serve(t, house(t), Config{})
	if err := s.Run(t.Context()); !errors.Is(err, ErrRunning) {
		t.Errorf("second Run: %v", err)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if c, err := net.ListenUDP("udp6", net.UDPAddrFromAddrPort(s.addr)); err != nil {
		t.Errorf("a socket is left open: %v", err)
	} else if err := c.Close(); err != nil {
		t.Error(err)
	}
}
