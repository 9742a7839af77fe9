package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/udp/datagram"
)

// readPause is how long a reader waits after an error that may pass, such as a lack of memory.
const readPause = 10 * time.Millisecond

// worker serves one socket.
type worker struct {
	server *Server
	conn   *net.UDPConn
	in     *datagram.Reader
	room   *room
	relays chain      // the reader's
	vetted []question // the reader's: what of one read gets an answer

	answerer answerer
}

func newWorker(s *Server, conn *net.UDPConn) (*worker, error) {
	in, err := datagram.NewReader(conn)
	if err != nil {
		return nil, err
	}
	out, err := datagram.NewWriter(conn)
	if err != nil {
		return nil, err
	}
	w := &worker{server: s, conn: conn, in: in, room: newRoom(s.metrics), vetted: make([]question, 0, datagram.Slots)}
	w.answerer = answerer{server: s, room: w.room, batch: s.engine.NewBatch(), out: out, octets: make([]byte, 0, answerOctets)}
	if at, ok := conn.LocalAddr().(*net.UDPAddr); ok {
		w.answerer.port = at.AddrPort().Port()
	}
	if s.config.Raw != nil {
		w.answerer.raw, err = datagram.NewRawWriter(s.config.Raw)
	}
	return w, err
}

// read reads until ctx ends or the socket cannot be read from any more.
func (w *worker) read(ctx context.Context) error {
	defer w.room.end()
	m := w.server.metrics
	overflow := w.in.Overflow()
	for {
		n, err := w.in.Read()
		switch {
		case err == nil:
		case ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("read leasequery at %v: %w", w.conn.LocalAddr(), err)
		default:
			m.readErrors.Inc()
			w.server.log.Warn("reading leasequery over UDP; pausing", "err", err)
			pause := time.NewTimer(readPause)
			select {
			case <-pause.C:
			case <-ctx.Done():
				pause.Stop()
			}
			continue
		}
		m.received.Add(float64(n))
		now := time.Now()
		w.vetted = w.vetted[:0]
		for i := range n {
			w.take(w.in.At(i), now)
		}
		if w.in.Overflow() != overflow {
			m.dropped.Add(float64(w.in.Overflow() - overflow))
			overflow = w.in.Overflow()
		}
		w.room.add(w.vetted, now)
		clear(w.vetted)
	}
}

// take vets one datagram: it is to be answered, or counted and forgotten.
func (w *worker) take(d datagram.Datagram, now time.Time) {
	q := question{octets: d.Octets, end: len(d.Octets), from: d.From, local: d.Local, iface: d.Interface, arrived: now}
	if reason := w.vet(&q, d.Truncated, now); reason != "" {
		w.server.metrics.discard(reason, 1)
		return
	}
	w.vetted = append(w.vetted, q)
}

// vet tells why a datagram gets no answer, or "". What costs least is looked at first.
func (w *worker) vet(q *question, truncated bool, now time.Time) (reason string) {
	s := w.server
	requestor, ok := s.policy.Lookup(q.from.Addr)
	if !ok {
		return discardStranger
	}
	q.requestor = requestor
	switch {
	case !s.answering():
		return discardStarting
	case q.local.IsMulticast() && s.config.Leader == nil:
		return discardMulticast
	case q.local.IsMulticast() && !s.config.Leader():
		return discardNotLeader
	case truncated:
		return discardTruncated
	}
	rate, burst := requestor.Limit(s.config.Rate, s.config.Burst)
	if !s.limiter.allow(q.from.Addr, rate, burst, now) {
		return discardRate
	}
	if reason := w.unwrap(q); reason != "" {
		return reason
	}
	message := q.octets[q.inner:q.end]
	if len(message) > 0 && dhcpv6.MessageType(message[0]) != dhcpv6.MessageLeasequery {
		return discardType
	}
	if _, err := dhcpv6.ParseMessage(message); err != nil {
		return discardFraming
	}
	return ""
}

// unwrap finds the query in a relayed one.
func (w *worker) unwrap(q *question) (reason string) {
	if len(q.octets) == 0 || dhcpv6.MessageType(q.octets[0]) != dhcpv6.MessageRelayForward {
		return ""
	}
	if !q.requestor.Relayed {
		return discardRelayed
	}
	reason = w.relays.parse(q.octets, w.server.config.MaxHops)
	q.inner, q.end = w.relays.begin, w.relays.end
	return reason
}
