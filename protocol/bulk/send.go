package bulk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// turn is how many octets one answer may add before the next one has its turn: a few dozen messages.
const turn = 4 << 10

var errStalled = errors.New("the requestor reads nothing")

// sender streams the running answers of one connection. It alone writes to the socket and steps the answers.
type sender struct {
	conn       *conn
	ring       []*query // running answers; the one at place has the next turn
	place      int
	following  *following // the subscription, if there is one; it is not in the ring
	subscribed bool       // whether there was one, and it was not refused
	ended      []*query   // answers whose last message is gathered but not sent
	buffer     *[]byte    // from pool while there is something to send
	pool       *sync.Pool
	out        []byte // gathered messages
	sent       int    // of out, with the kernel
	messages   int    // in out
}

func newSender(c *conn) *sender { return &sender{conn: c} }

// run sends until the connection is over. It tells why it ended and whether everything that was to be sent was.
func (s *sender) run() (why reason, orderly bool) {
	defer s.putBuffer()
	defer s.unfollow()
	for {
		receiving, ending := s.take()
		switch {
		case ending:
			return s.terminate()
		case len(s.ring) > 0 || s.sent < len(s.out) || s.hasNews():
			if err := s.step(); err != nil {
				return s.broke(err), false
			}
		case !receiving && s.following == nil:
			return endDone, true
		default:
			s.putBuffer()
			s.await()
		}
	}
}

// take brings newly begun queries into the ring and reads the connection's state.
func (s *sender) take() (receiving, ending bool) {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, q := range c.handed {
		if sub, ok := q.answer.(subscription); ok {
			s.follow(q, sub)
		} else {
			s.ring = append(s.ring, q)
		}
	}
	clear(c.handed)
	c.handed = c.handed[:0]
	return c.receiving, c.ending != ""
}

// step gathers one buffer and sends it.
func (s *sender) step() error {
	s.getBuffer()
	s.checkViews(time.Now())
	s.tell(turn) // its REPLY is not to wait for what is refused beside it
	s.fill()
	s.tell(s.full())
	s.pause()
	err := s.flush(time.Now().Add(s.dataTimeout()))
	if err == nil && s.sent == len(s.out) {
		s.settle()
	}
	return err
}

// fill lets the answers take turns until the buffer is full. Each turn has the same number of octets, so an answer of a few
// messages is not held up by one of a hundred thousand.
func (s *sender) fill() {
	full := s.full()
	for len(s.ring) > 0 && len(s.out) < full {
		if s.place >= len(s.ring) {
			s.place = 0
		}
		stop := full
		if len(s.ring) > 1 {
			stop = min(full, len(s.out)+turn)
		}
		q := s.ring[s.place]
		more, err := s.advance(q.answer, stop)
		switch {
		case err != nil:
			s.fail(q, err)
			return
		case more:
			s.place++
		default:
			failed := q.answer.Failed()
			s.drop(q)
			if failed {
				s.terminated(endFailed)
				s.conn.end(endFailed, "another query on this connection could not be served")
				return
			}
		}
	}
}

// advance appends messages of one answer, framed, until the buffer has grown to stop or the answer has ended.
func (s *sender) advance(a answer, stop int) (more bool, err error) {
	more = true
	for more && len(s.out) < stop {
		out, mark := dhcpv6.OpenFrame(s.out)
		out, again, err := a.Next(out)
		if err == nil {
			out, err = dhcpv6.CloseFrame(out, mark)
		}
		if err != nil {
			return false, err
		}
		s.out, more = out, again
		s.messages++
	}
	return more, nil
}

// fail ends an answer that cannot go on, then the connection (RFC 5460 7.2, 7.4).
func (s *sender) fail(q *query, err error) {
	s.conn.log.Error("answer broken off", transactionID(q.id), "err", err)
	s.conn.end(endFailed, "another query on this connection could not be served") // first: a subscription's place is not free for another
	s.abort(q, dhcpv6.StatusUnspecFail, "the server could not go on with this answer", endFailed)
}

// abort ends one answer with a status. A message that cannot be built is left out: the close that follows says enough.
func (s *sender) abort(q *query, status dhcpv6.Status, text string, why reason) {
	out, mark := dhcpv6.OpenFrame(s.out)
	out, err := q.answer.Abort(out, status, text)
	if err == nil {
		out, err = dhcpv6.CloseFrame(out, mark)
	}
	if err != nil {
		s.conn.log.Error("status not sent", transactionID(q.id), "err", err)
	} else {
		s.out = out
		s.messages++
	}
	s.terminated(why)
	s.drop(q)
}

func (s *sender) terminated(why reason) {
	s.conn.server.metrics.terminated.WithLabelValues(string(why)).Inc()
}

// drop takes an answer out of the ring; it is settled once its last octet is sent. Its view goes at once.
func (s *sender) drop(q *query) {
	if i := slices.Index(s.ring, q); i >= 0 {
		s.ring = slices.Delete(s.ring, i, i+1)
		if i < s.place {
			s.place--
		}
	}
	s.conn.finish(q)
	s.ended = append(s.ended, q)
}

// checkViews ends answers whose views keep old state for too long or too much of it.
func (s *sender) checkViews(now time.Time) {
	config := s.conn.server.config
	for _, q := range slices.Clone(s.ring) {
		text := ""
		switch {
		case now.Sub(q.begun) > config.MaxViewAge:
			text = fmt.Sprintf("the answer took longer than %v", config.MaxViewAge)
		case q.answer.Pinned() > config.MaxViewPinned:
			text = "the answer kept too much old state in memory"
		case q.answer.Kept() > config.MaxViewsKept:
			text = "answers kept too much old state in memory, this one for longest"
		default:
			continue
		}
		s.abort(q, dhcpv6.StatusQueryTerminated, text, endView)
		s.conn.end(endView, "another query on this connection took too long")
	}
}

// flush hands the gathered octets to the kernel, all by the deadline. It returns early, without error, when the connection
// is to end: take sees that next. A blocked sender looks at the age of its views now and then.
func (s *sender) flush(deadline time.Time) error {
	c := s.conn
	for s.sent < len(s.out) {
		now := time.Now()
		if !now.Before(deadline) {
			return errStalled
		}
		c.mu.Lock()
		interrupted := c.ending != "" && !c.aborting
		if !interrupted {
			c.armWrite(minTime(deadline, now.Add(blockedCheck)))
		}
		c.mu.Unlock()
		if interrupted {
			return nil
		}
		n, err := c.layer.out.Write(s.out[s.sent:])
		s.sent += n
		c.server.metrics.octets.Add(float64(n))
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if err != nil {
			s.checkViews(time.Now())
		}
	}
	return nil
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// settle forgets what has been sent and the answers that ended with it.
func (s *sender) settle() {
	m := s.conn.server.metrics
	m.messages.Add(float64(s.messages))
	s.messages, s.sent, s.out = 0, 0, s.out[:0]
	s.told()
	for _, q := range s.ended {
		if !q.joined {
			m.seconds.Observe(time.Since(q.arrived).Seconds())
		}
		s.conn.leave(q)
	}
	clear(s.ended)
	s.ended = s.ended[:0]
}

// terminate ends every running answer with QueryTerminated and sends what is still to be sent.
func (s *sender) terminate() (reason, bool) {
	c := s.conn
	<-c.received
	s.take()
	c.mu.Lock()
	c.aborting = true
	why, text := c.ending, c.endText
	c.mu.Unlock()
	if why == endReset {
		return why, false
	}
	s.getBuffer()
	for _, q := range slices.Clone(s.ring) {
		s.abort(q, dhcpv6.StatusQueryTerminated, text, why)
	}
	limit := s.dataTimeout()
	if why == endEvicted || why == endUnsubscribed {
		limit = min(limit, evictTimeout)
	}
	if c.isHurried() {
		limit = hurryTimeout
	}
	s.endFollowing(why, text)
	if err := s.flush(time.Now().Add(limit)); err != nil {
		return s.broke(err), false
	}
	s.settle()
	return why, true
}

// broke tells why sending failed.
func (s *sender) broke(err error) reason {
	why, level := endReset, slog.LevelDebug
	if errors.Is(err, errStalled) {
		why, level = endStalled, slog.LevelInfo
	}
	s.conn.log.Log(context.Background(), level, "bulk leasequery connection broke", "reason", string(why), "err", err)
	s.conn.end(why, "the connection broke")
	return why
}

// full is how many octets are gathered before they are written.
func (s *sender) full() int {
	if s.following != nil {
		return min(sendUpdates, s.conn.server.config.SendBuffer)
	}
	return s.conn.server.config.SendBuffer
}

// getBuffer takes a buffer from the server's pool when there is none yet.
func (s *sender) getBuffer() {
	if s.buffer == nil {
		s.pool = &s.conn.server.buffers
		if s.following != nil {
			s.pool = &s.conn.server.updates
		}
		s.buffer = buffer(s.pool, s.full())
		s.out = (*s.buffer)[:0]
	}
}

// putBuffer gives the buffer back: an idle connection keeps none.
func (s *sender) putBuffer() {
	if s.buffer != nil {
		*s.buffer = s.out[:0]
		s.pool.Put(s.buffer)
		s.buffer, s.out, s.sent = nil, nil, 0
	}
}
