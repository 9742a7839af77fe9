package bulk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// await waits until something about the server is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range 15_000 {
		if so() {
			return
		}
		<-tick.C
	}
	t.Fatalf("still not so after 30 s: %s", what)
}

func TestRule14StalledReaderIsClosed(t *testing.T) {
	s := serve(t, large(t), Config{DataTimeout: 300 * time.Millisecond})
	w := dialWire(t, s.addr)
	w.send(lqMsg(1, lq(qLink, "2001:db8:ffff::1")))
	await(t, "the stalled connection is closed", func() bool { return s.metric(t, MetricClosed, "stalled") == 1 })
	octets, err := io.Copy(io.Discard, w.in)
	if err == nil || octets > 16<<20 {
		t.Errorf("then read %d octets, %v; want a reset after what the kernels held", octets, err)
	}
	if n := s.metric(t, MetricRunning, ""); n != 0 {
		t.Errorf("%v queries still running", n)
	}
}

// What a requestor that reads nothing costs does not grow with its answer.
func TestRule14StalledReaderIsBounded(t *testing.T) {
	s := serve(t, large(t), Config{})
	w := dialWire(t, s.addr)
	w.send(lqMsg(1, lq(qLink, "2001:db8:ffff::1")), lqMsg(2, lq(qLink, "2001:db8:ffff::1")))
	var settled, last float64
	await(t, "nothing more is sent", func() bool {
		sent := s.metric(t, MetricOctets, "")
		if sent != last {
			settled, last = 0, sent
		} else if sent > 0 {
			settled++
		}
		return settled > 50
	})
	if last > 8<<20 {
		t.Errorf("%v octets were handed to the kernel for a requestor that reads nothing", last)
	}
}

func TestRule14HalfAMessageIsClosed(t *testing.T) {
	s := serve(t, house(t), Config{DataTimeout: 300 * time.Millisecond})
	w := dialWire(t, s.addr)
	w.send([]byte{0, 200, 14})
	w.expectEnd()
	if n := s.metric(t, MetricClosed, "frame-timeout"); n != 1 {
		t.Errorf("%s{frame-timeout} = %v, want 1", MetricClosed, n)
	}
}

func TestRule14OldViewEndsWithQueryTerminated(t *testing.T) {
	s := serve(t, large(t), Config{MaxViewAge: 200 * time.Millisecond})
	w := dialWire(t, s.addr)
	w.send(lqMsg(1, lq(qLink, "2001:db8:ffff::1")))
	await(t, "the view is given back", func() bool { return s.metric(t, MetricTerminated, "view") == 1 })
	for {
		b := w.next()
		if b[2] != msgDone {
			continue
		}
		if !bytes.Equal(b[2:12], cat([]byte{msgDone, 0, 0, 1}, u16(optStatus), b[8:10], u16(stTerminated))) {
			t.Errorf("ended with %x, want QueryTerminated", b)
		}
		break
	}
	w.expectEnd()
}

func TestRule15FailureBeforeTheFirstReply(t *testing.T) {
	world := house(t)
	world.fail = errors.New("no leader")
	s := serve(t, world, Config{})
	w := dialWire(t, s.addr)
	w.send(lqMsg(1, lq(qLink, "2001:db8:2::")))
	w.expectStatus(msgAnswer, 1, stTerminated)
	w.expectEnd()
}

func TestRule15FailureEndsTheOtherAnswersToo(t *testing.T) {
	world := large(t)
	s := serve(t, world, Config{})
	w := dialWire(t, s.addr)
	w.send(lqMsg(1, lq(qLink, "2001:db8:ffff::1")))
	first := w.next() // it runs
	if first[2] != msgAnswer {
		t.Fatalf("got %x", first[:6])
	}
	world.failing(errors.New("no leader"))
	w.send(lqMsg(2, lq(qLink, "2001:db8:ffff::1")))
	ended := map[byte]byte{} // by transaction-id: the message type that ended it
	for len(ended) < 2 {
		b := w.next()
		if b[2] == msgDone || b[5] == 2 {
			ended[b[5]] = b[2]
			if status := binary.BigEndian.Uint16(b[bytes.Index(b, u16(optStatus))+4:]); status != stTerminated {
				t.Errorf("query %d ended with status %d", b[5], status)
			}
		}
	}
	if ended[1] != msgDone || ended[2] != msgAnswer {
		t.Errorf("ended by message types %v, want DONE and REPLY", ended)
	}
	w.expectEnd()
}

func TestRule15DrainEndsAnswersWithQueryTerminated(t *testing.T) {
	s := serve(t, large(t), Config{})
	w := dialWire(t, s.addr)
	w.send(lqMsg(1, lq(qLink, "2001:db8:ffff::1")))
	w.next()
	over, cancel := context.WithCancel(context.Background())
	cancel()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		s.Drain(over)
	}()
	for {
		b := w.next()
		if b[2] != msgDone {
			continue
		}
		if status := binary.BigEndian.Uint16(b[10:]); status != stTerminated {
			t.Errorf("ended with status %d, want QueryTerminated", status)
		}
		break
	}
	w.expectEnd()
	<-drained
	if c, err := net.Dial("tcp", s.addr.String()); err == nil {
		t.Error("a drained server still accepts")
		_ = c.Close() // it should not exist
	}
}

func TestRule16Defaults(t *testing.T) {
	c := DefaultConfig()
	if c.MaxConnections != 10 || c.DataTimeout != 300*time.Second || c.IdleTimeout != 300*time.Second {
		t.Errorf("BULK_LQ_MAX_CONNS %d, BULK_LQ_DATA_TIMEOUT %v, idle %v; want 10, 5m0s, 5m0s", c.MaxConnections, c.DataTimeout, c.IdleTimeout)
	}
	if octets := c.SendBuffer + 2*(frameHeader+dhcpv6.MaxFrame); octets > 256<<10 {
		t.Errorf("a connection may take %d octets", octets)
	}
}

func TestRule16LongestIdleConnectionMakesRoom(t *testing.T) {
	s := serve(t, house(t), Config{MaxConnections: 3})
	var all []*wire
	for range 3 {
		w := dialWire(t, s.addr)
		w.expectOpen()
		all = append(all, w)
	}
	all[0].expectOpen() // now the second is the longest idle
	newcomer := dialWire(t, s.addr)
	newcomer.expectOpen()
	all[1].expectEnd()
	all[0].expectOpen()
	all[2].expectOpen()
}

func TestRule16NewcomerIsClosedWhenAllAreBusy(t *testing.T) {
	s := serve(t, large(t), Config{MaxConnections: 2})
	for range 2 {
		w := dialWire(t, s.addr)
		w.send(lqMsg(1, lq(qLink, "2001:db8:ffff::1")))
		w.next()
	}
	dialWire(t, s.addr).expectEnd()
	if n := s.metric(t, MetricRefused, "limit"); n != 1 {
		t.Errorf("%s{limit} = %v, want 1", MetricRefused, n)
	}
}

func TestRule16IdleConnectionIsClosed(t *testing.T) {
	s := serve(t, house(t), Config{IdleTimeout: 200 * time.Millisecond})
	w := dialWire(t, s.addr)
	w.expectOpen()
	w.expectEnd()
}
