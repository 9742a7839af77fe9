package bulk

import (
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// descriptors is how many file descriptors the process has open; ok is false where the system does not tell.
func descriptors() (n int, ok bool) {
	all, err := os.ReadDir("/proc/self/fd")
	return len(all), err == nil
}

// A thousand connections of garbage, of halves of messages, of octets that trickle and of nothing at all: good requestors are
// answered all the while, and nothing is left behind.
func TestGarbage(t *testing.T) {
	const bad = 1000
	before, counted := descriptors()
	t.Run("meanwhile", func(t *testing.T) {
		s := serve(t, many(t, 2000, 10), Config{
			MaxConnections: bad + 20, MaxConnectionsPerRequestor: bad + 20, MaxQueriesPerRequestor: 1000,
			DataTimeout: 10 * time.Second, IdleTimeout: 10 * time.Second, // of a busy machine
		})
		var connections sync.WaitGroup
		stop := make(chan struct{})
		for n := range bad {
			connections.Go(func() { misbehave(t, s.addr, rand.New(rand.NewPCG(1, uint64(n))), stop) })
		}
		for range 20 {
			w := dialWire(t, s.addr)
			w.send(lqMsg(1, lq(qRelayID, "::", opt(optRelayID, []byte("relay-few")))), lqMsg(2, lq(qLink, "2001:db8:ffff::1")))
			messages := map[byte]int{}
			for messages[1]+messages[2] < 11+2001 {
				messages[w.next()[5]]++
			}
			w.expectOpen()
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		}
		close(stop)
		connections.Wait()
		await(t, "every connection is forgotten", func() bool { return s.metric(t, MetricConnections, "") == 0 })
		if n := s.metric(t, MetricRunning, ""); n != 0 {
			t.Errorf("%v queries still counted as running", n)
		}
	})
	if after, ok := descriptors(); counted && ok && after > before+5 {
		t.Errorf("%d file descriptors, %d before", after, before)
	}
}

// misbehave is one bad requestor.
func misbehave(t *testing.T, server net.Addr, random *rand.Rand, stop <-chan struct{}) {
	c, err := net.Dial("tcp", server.String())
	if err != nil {
		t.Errorf("dial: %v", err)
		return
	}
	defer func() { _ = c.Close() }() // the server may have closed it
	good := lqMsg(random.IntN(100), lq(qLink, "2001:db8:ffff::1"))
	switch random.IntN(6) {
	case 0: // random octets
		b := make([]byte, random.IntN(3000))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		_, _ = c.Write(b)
	case 1: // half a message
		_, _ = c.Write(good[:random.IntN(len(good))])
		<-stop
	case 2: // a good query, its answer not read
		_, _ = c.Write(good)
		<-stop
	case 3: // nothing
		<-stop
	case 4: // a query with an octet turned
		good[2+random.IntN(len(good)-2)] ^= 1 << random.IntN(8)
		_, _ = c.Write(good)
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	case 5: // octets that trickle
		for _, b := range good {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

// The limit by itself: with as many connections as it allows, all busy, everybody else is closed at once.
func TestConnectionLimitHolds(t *testing.T) {
	const limit = 50
	s := serve(t, large(t), Config{MaxConnections: limit, MaxConnectionsPerRequestor: limit, MaxQueriesPerRequestor: limit})
	var busy []*wire
	for range limit {
		w := dialWire(t, s.addr)
		w.send(lqMsg(1, lq(qLink, "2001:db8:ffff::1")))
		w.next()
		busy = append(busy, w)
	}
	for range 200 {
		dialWire(t, s.addr).expectEnd()
	}
	if open, refused := s.metric(t, MetricConnections, ""), s.metric(t, MetricRefused, ""); open != limit || refused != 200 {
		t.Errorf("%v open, %v refused; want %d and 200", open, refused, limit)
	}
	for _, w := range busy[:3] { // the busy ones were not disturbed
		for {
			b, err := w.frame()
			if err != nil {
				t.Fatal(err)
			}
			if b[2] == msgDone {
				if len(b) != len(done(1)) {
					t.Errorf("ended with %x", b)
				}
				break
			}
		}
	}
}

// A server that is stopped with a thousand connections of every kind is gone within its time.
func TestShutdownWithManyConnections(t *testing.T) {
	s := serve(t, many(t, 20_000, 10), Config{MaxConnections: 300, MaxConnectionsPerRequestor: 300, MaxQueriesPerRequestor: 300, DrainTimeout: 100 * time.Millisecond})
	stop := make(chan struct{})
	var connections sync.WaitGroup
	for n := range 200 {
		connections.Go(func() { misbehave(t, s.addr, rand.New(rand.NewPCG(2, uint64(n))), stop) })
	}
	await(t, "connections are open", func() bool { return s.metric(t, MetricAccepted, "") == 200 })
	s.cancel()
	await(t, "connections are closed", func() bool { return s.metric(t, MetricConnections, "") == 0 })
	close(stop)
	connections.Wait()
	if _, err := net.Dial("tcp", s.addr.String()); err == nil {
		t.Error("it still accepts")
	}
}
