package bulk

import (
	"context"
	"crypto/tls"
	"io"
	"testing"
	"time"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/active"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/starttls"
)

// Active leasequery is off until it is configured, and in clear it needs a second switch. What runs beside is answered before the close.
func TestRule19ActiveSwitches(t *testing.T) {
	p := newPKI(t)
	inTLS := TLS{Mode: starttls.Optional, Credentials: p.creds}
	for name, tc := range map[string]struct {
		active active.Config
		sealed bool
		status int // 0: accepted
	}{
		"off, in clear":       {active.Config{}, false, stNotSupported},
		"off, inside TLS":     {active.Config{}, true, stNotSupported},
		"insecure alone":      {active.Config{Insecure: true}, false, stNotSupported},
		"enabled, in clear":   {active.Config{Enabled: true}, false, stNotAllowed},
		"enabled, inside TLS": {active.Config{Enabled: true}, true, 0},
		"both, in clear":      {active.Config{Enabled: true, Insecure: true}, false, 0},
		"both, inside TLS":    {active.Config{Enabled: true, Insecure: true}, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := activeHouse(t)
			s := serveState(t, m, Config{Active: tc.active, TLS: inTLS}, leasequery.Config{})
			w := dialWire(t, s.addr)
			if tc.sealed {
				w.startTLS()
				if _, err := w.secure(p.requestor(t, "relay.example")); err != nil {
					t.Fatal(err)
				}
			}
			w.send(subscribe(6))
			if tc.status == 0 {
				w.expect(subscribed(6, base(0)))
				m.put(t, 1500, leaseB)
				w.expect(update(6, base(1500), updateB))
				return
			}
			w.expectText(subscribed(6, base(0)), tc.status)
			w.expectEnd()
		})
	}
}

// One subscription excludes other queries on its connection. The newcomer gets MalformedQuery with its own transaction-id; what runs goes on.
func TestRule12SubscriptionExcludesQueries(t *testing.T) {
	t.Run("beside a subscription", func(t *testing.T) {
		m := activeHouse(t)
		s := serveState(t, m, inClear(), leasequery.Config{})
		w := dialWire(t, s.addr)
		w.send(subscribe(1), lqMsg(2, lq(qLink, "2001:db8:1::1")), subscribe(3))
		w.expect(subscribed(1, base(0)))
		w.expectText(answerOK(2), stMalformed)
		w.expectText(subscribed(3, base(0)), stMalformed)
		m.put(t, 1500, leaseB)
		w.expect(update(1, base(1500), updateB))
		// The transaction-id of the subscription is in use: no answer at all (rule 11), of either kind.
		w.send(lqMsg(1, lq(qLink, "2001:db8:1::1")), subscribe(1), lqMsg(4, lq(qLink, "2001:db8:1::1")))
		w.expectText(answerOK(4), stMalformed)
		m.put(t, 1000, renewed(leaseB, 1))
		w.expect(update(1, base(2500), client("client-b", 1, iaAddr("2001:db8:1::b", 3599, 7199))))
		await(t, "two messages are discarded", func() bool { return s.metric(t, MetricDiscarded, discardDuplicate) == 2 })
		if n := s.metric(t, active.MetricSubscriptions, ""); n != 1 {
			t.Errorf("%v subscriptions, want 1", n)
		}
	})
	t.Run("beside a query", func(t *testing.T) {
		m := activeHouse(t)
		many := make([]binding.Change, 0, 50_000)
		for n := range cap(many) {
			many = append(many, leaseOf(n))
		}
		m.put(t, 0, many...)
		s := serveState(t, m, inClear(), leasequery.Config{})
		w := dialWire(t, s.addr)
		w.send(lqMsg(1, lq(qLink, "2001:db8:1::1")), subscribe(2))
		kinds := map[byte]int{}
		for kinds[msgDone] == 0 {
			b := w.next()
			kinds[b[2]]++
			if b[5] == 2 && (b[2] != msgAnswer || string(b[len(subscribed(2, base(0))):][:2]) != string(u16(optStatus))) {
				t.Fatalf("to the subscription: %s", dump(b))
			}
		}
		if kinds[msgAnswer] != 2 || kinds[msgData] != 50_000 {
			t.Errorf("messages by type: %v, want 2 REPLY, 50,000 DATA, DONE", kinds)
		}
		w.expectEnd() // RFC 7653 9.3: an error status closes, once what runs has been told
	})
	t.Run("behind a query", func(t *testing.T) {
		s := serveState(t, activeHouse(t), inClear(), leasequery.Config{})
		w := dialWire(t, s.addr)
		w.send(lqMsg(1, lq(qClientID, "::", opt(optClientID, []byte("nobody")))))
		w.expect(answerOK(1))
		w.send(subscribe(1))
		w.expect(subscribed(1, base(0)))
	})
	t.Run("with one query a connection", func(t *testing.T) {
		s := serveState(t, activeHouse(t), inClear(func(c *Config) { c.MaxQueriesPerConnection = 1 }), leasequery.Config{})
		w := dialWire(t, s.addr)
		w.send(subscribe(1), lqMsg(2, lq(qLink, "2001:db8:1::1")), lqMsg(3, lq(qLink, "2001:db8:1::1")))
		w.expect(subscribed(1, base(0)))
		w.expectText(answerOK(2), stMalformed)
		w.expectText(answerOK(3), stMalformed)
		if err := w.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		w.expectEnd()
	})
}

// A requestor that closes its sending half, or everything, ends its subscription at once; RFC 7653 9.5 too. TLS: close_notify.
func TestRule13HalfCloseEndsASubscription(t *testing.T) {
	p := newPKI(t)
	s := serveState(t, activeHouse(t), inClear(func(c *Config) { c.TLS = TLS{Mode: starttls.Optional, Credentials: p.creds} }), leasequery.Config{})
	over := 0.0
	for _, how := range []string{"half", "half, with the query", "whole", "close_notify"} {
		t.Run(how, func(t *testing.T) {
			w := dialWire(t, s.addr)
			half := w.CloseWrite
			if how == "close_notify" {
				var c *tls.Conn
				w, c = dialTLS(t, s, p.requestor(t, "relay.example"))
				half = c.CloseWrite
			}
			w.send(subscribe(1))
			if how != "half, with the query" {
				w.expect(subscribed(1, base(0)))
			}
			if how == "whole" {
				half = w.Close
			}
			if err := half(); err != nil {
				t.Fatal(err)
			}
			switch how {
			case "half, with the query":
				w.expect(subscribed(1, base(0)))
				w.expectEnd()
			case "half", "close_notify":
				w.expectEnd()
			}
			over++
			await(t, "the subscription is over", func() bool {
				return s.metric(t, active.MetricEnded, string(endUnsubscribed)) == over && s.metric(t, active.MetricSubscriptions, "") == 0
			})
		})
	}
}

// A connection that breaks ends its subscription (RFC 7653 9.5).
func TestRFC7653ResetEndsASubscription(t *testing.T) {
	s := serveState(t, activeHouse(t), inClear(), leasequery.Config{})
	w := dialWire(t, s.addr)
	w.send(subscribe(1))
	w.expect(subscribed(1, base(0)))
	if err := w.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, "the subscription is over", func() bool {
		return s.metric(t, active.MetricEnded, string(endReset)) == 1 && s.metric(t, active.MetricSubscriptions, "") == 0
	})
}

// A subscriber that reads nothing for ACTIVE_LQ_SEND_TIMEOUT is closed.
func TestRFC7653StalledSubscriberIsClosed(t *testing.T) {
	m := activeHouse(t)
	s := serveState(t, m, inClear(func(c *Config) { c.Active.DataTimeout = 300 * time.Millisecond }), leasequery.Config{})
	w := dialWire(t, s.addr)
	w.send(subscribe(1))
	w.expect(subscribed(1, base(0)))
	closed := func() bool { return s.metric(t, active.MetricEnded, string(endStalled)) == 1 }
	for n := 0; !closed(); n += 1000 {
		var batch []binding.Change
		for i := range 1000 {
			batch = append(batch, leaseOf(n+i))
		}
		m.put(t, 1, batch...)
	}
	octets, err := io.Copy(io.Discard, w.in)
	if err == nil || octets > 16<<20 {
		t.Errorf("then read %d octets, %v; want a reset behind what the kernels held", octets, err)
	}
	await(t, "it holds no place", func() bool { return s.metric(t, active.MetricSubscriptions, "") == 0 })
}

// At shutdown: DONE with QueryTerminated and the base time, which is the last message; then the close.
func TestRFC7653ShutdownEndsSubscriptions(t *testing.T) {
	for name, stop := range map[string]func(*served){
		"drain":  func(s *served) { s.Drain(context.Background()) },
		"retire": func(s *served) { s.Retire() },
		"Run":    func(s *served) { s.cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			m := activeHouse(t)
			s := serveState(t, m, inClear(), leasequery.Config{})
			w := dialWire(t, s.addr)
			w.send(subscribe(1))
			w.expect(subscribed(1, base(0)))
			m.put(t, 1500, leaseB)
			w.expect(update(1, base(1500), updateB))
			stopped := make(chan struct{})
			go func() { defer close(stopped); stop(s) }()
			w.expectDone(1, stTerminated, base(1500))
			<-stopped
			if name != "retire" {
				return
			}
			w = dialWire(t, s.addr)
			w.send(subscribe(2))
			w.expectText(subscribed(2, base(1500)), stTerminated)
			w.expectEnd()
		})
	}
}

// A node that cannot prove any more that it has everything ends its subscriptions, and begins none.
func TestRule24LostFreshnessEndsSubscriptions(t *testing.T) {
	m := activeHouse(t)
	s := serveState(t, m, inClear(), leasequery.Config{MaxStaleness: 5 * time.Second})
	w := dialWire(t, s.addr)
	w.send(subscribe(1))
	w.expect(subscribed(1, base(0)))
	m.proven(5 * time.Second)
	m.put(t, 1500, leaseB)
	w.expect(update(1, base(1500), updateB))
	m.proven(5*time.Second + 1)
	w.expectDone(1, stTerminated, base(1500))
	await(t, "its end is counted", func() bool { return s.metric(t, active.MetricEnded, string(endStopped)) == 1 })
	m.failing(io.ErrUnexpectedEOF)
	w = dialWire(t, s.addr)
	w.send(subscribe(2))
	w.expectText(subscribed(2, base(1500)), stTerminated)
	w.expectEnd()
}
