package bulk

import (
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// RFC 5460 7.1: octets that trickle do not renew the time in which a message must be there.
func TestRule14SingleOctetsDoNotRenew(t *testing.T) {
	s := serve(t, house(t), Config{DataTimeout: 300 * time.Millisecond})
	w := dialWire(t, s.addr)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.expectEnd()
	}()
	w.send(u16(60_000)) // far more than trickles before the test gives up
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for open := true; open; {
		select {
		case <-ended:
			open = false
		case <-tick.C:
			_, err := w.out.Write([]byte{msgQuery})
			open = err == nil
		}
	}
	<-ended
	if n := s.metric(t, MetricClosed, "frame-timeout"); n != 1 {
		t.Errorf("%s{frame-timeout} = %v, want 1", MetricClosed, n)
	}
}

// RFC 5460 7.3: while as many queries run as may, the socket is not read: the peer's writes block, and everything is answered
// later, in its order.
func TestRule12NothingIsReadPastTheLimit(t *testing.T) {
	const behind = 600 // of 60,000 octets each: more than all buffers between
	s := serve(t, large(t), Config{MaxQueriesPerConnection: 1})
	w := dialWire(t, s.addr)
	w.send(lqMsg(1, lq(qLink, "2001:db8:ffff::1")))
	var written atomic.Int64
	wrote := make(chan error, 1)
	go func() {
		filler := opt(65000, make([]byte, 60_000))
		for id := range behind {
			if _, err := w.out.Write(lqMsg(1000+id, filler, lq(qClientID, "::", opt(optClientID, []byte{0, 7})))); err != nil {
				wrote <- err
				return
			}
			written.Add(1)
		}
		wrote <- nil
	}()
	var last int64
	settled := 0
	await(t, "the writes block", func() bool {
		if n := written.Load(); n != last || n == 0 {
			last, settled = n, 0
		} else {
			settled++
		}
		return settled > 100
	})
	if last == behind {
		t.Fatalf("all %d queries were read while one ran that was the limit", behind)
	}
	if n := s.metric(t, MetricRunning, ""); n != 1 {
		t.Errorf("%v queries run, want 1", n)
	}
	for n := 1; n <= 100_000; n++ {
		w.next()
	}
	w.expect(done(1))
	for id := range behind {
		w.expect(answerOK(1000 + id))
	}
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
}

// RFC 5460 7.3: the queries of one requestor at once are limited over all of its connections.
func TestRule16QueriesOfARequestor(t *testing.T) {
	few := lqMsg(2, lq(qClientID, "::", opt(optClientID, []byte{0, 7})))
	for limit, waits := range map[int]bool{1: true, 2: false} {
		s := serve(t, large(t), Config{MaxQueriesPerRequestor: limit})
		first, second := dialWire(t, s.addr), dialWire(t, s.addr)
		first.send(lqMsg(1, lq(qLink, "2001:db8:ffff::1")))
		first.next()
		second.send(few)
		if waits {
			if err := second.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			if _, err := second.in.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("limit %d: the second query does not wait for the first: %v", limit, err)
			}
			if err := second.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			for n := 2; n <= 100_000; n++ {
				first.next()
			}
			first.expect(done(1))
		}
		second.expect(answerOK(2))
	}
}

// A connection whose query runs is not idle, however long the answer takes.
func TestRule16RunningQueriesAreNotIdle(t *testing.T) {
	const idle = 100 * time.Millisecond
	s := serve(t, large(t), Config{IdleTimeout: idle})
	w := dialWire(t, s.addr)
	w.send(lqMsg(1, lq(qLink, "2001:db8:ffff::1")))
	w.next()
	<-time.After(4 * idle)
	for n := 2; n <= 100_000; n++ {
		w.next()
	}
	w.expect(done(1))
	w.expectEnd() // and now it is
}
