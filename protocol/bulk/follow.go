package bulk

import (
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// maxLooks is how often a subscription looks through changes that are not for its requestor before the connection looks to itself.
const maxLooks = 64

// sendUpdates is how many octets of a subscription are gathered before they are written, at most: some eighty changes. It is less than for
// answers, because a subscription has memory of its own, and 256 KiB is all that a connection may cost, TLS included. With one message
// more it fills nine pages.
const sendUpdates = 8<<10 - frameHeader

// following is the subscription that a sender tells of.
type following struct {
	query        *query
	subscription subscription
	accepted     bool        // its REPLY is made, and was no refusal
	told         int         // messages in the buffer
	due          bool        // it has had nothing to tell for the idle interval
	last         time.Time   // when its last message was with the kernel
	idle         *time.Timer // set once, and again only when it has run out: not for each message
}

// follow makes q, which is a subscription, the one that is told of.
func (s *sender) follow(q *query, sub subscription) {
	if len(s.out) == 0 {
		s.putBuffer() // it was an answer's
	}
	now := time.Now()
	s.following = &following{query: q, subscription: sub, last: now, idle: time.NewTimer(s.idleInterval())}
	s.conn.news.Store(true)
}

func (s *sender) idleInterval() time.Duration { return s.conn.server.config.Active.IdleInterval }

// unfollow ends it.
func (s *sender) unfollow() {
	if s.following != nil {
		s.following.idle.Stop()
		s.following = nil
	}
}

// hasNews tells whether the subscription may have something to tell.
func (s *sender) hasNews() bool { return s.following != nil && s.conn.news.Load() }

// tell appends what the subscription has to tell until the buffer has grown to stop or it has told everything.
func (s *sender) tell(stop int) {
	f := s.following
	if f == nil || len(s.out) >= stop || !s.conn.news.Swap(false) {
		return // a change that comes from here on sets news again
	}
	if f.subscription.Behind() {
		if !s.conn.server.hub.Begin(s.conn.ctx) {
			return // the connection ends
		}
		defer s.conn.server.hub.End()
	}
	for looks := 0; len(s.out) < stop; {
		told, more, err := s.frame(f.subscription.Next)
		silent := err == nil && more && !told && f.subscription.Waiting()
		if silent && f.due && f.told == 0 {
			if told, more, err = s.frame(f.subscription.Idle); told {
				s.conn.server.metrics.active.Idle.Inc()
			}
		}
		switch {
		case err != nil:
			s.unfollow()
			s.fail(f.query, err)
			return
		case !more:
			s.over()
			return
		case told:
			s.noteTold()
		case silent:
			return
		default:
			if looks++; looks == maxLooks {
				s.conn.news.Store(true)
				return
			}
		}
	}
	s.conn.news.Store(true)
}

// frame appends one message, framed; told is false if there was none.
func (s *sender) frame(next func([]byte) ([]byte, bool, error)) (told, more bool, err error) {
	out, mark := dhcpv6.OpenFrame(s.out)
	empty := len(out)
	out, more, err = next(out)
	if err != nil || len(out) == empty {
		return false, more, err
	}
	if out, err = dhcpv6.CloseFrame(out, mark); err != nil {
		return false, more, err
	}
	s.out = out
	s.messages++
	return true, more, nil
}

// noteTold counts a message of the subscription.
func (s *sender) noteTold() {
	f := s.following
	if !f.accepted {
		f.accepted, s.subscribed = true, true
		s.conn.server.metrics.active.Started.Inc()
	}
	f.told++
}

// over ends the connection behind the error status that the subscription has told last: in its REPLY it was refused, in DONE it could not
// go on (RFC 7653 9.3).
func (s *sender) over() {
	f := s.following
	s.unfollow()
	if !f.accepted {
		s.conn.server.metrics.active.Refused.WithLabelValues(refusedStatus).Inc()
		s.conn.end(endRefused, "the subscription was refused")
	} else {
		s.terminated(endStopped)
		s.conn.end(endStopped, "the subscription could not go on")
	}
	s.drop(f.query) // behind the end: no other subscription may begin on this connection
}

// told notes that what the subscription told is with the kernel.
func (s *sender) told() {
	f := s.following
	if f == nil {
		return
	}
	if f.told > 0 {
		m := s.conn.server.metrics.active
		m.Messages.Add(float64(f.told))
		m.Writes.Inc()
		f.told, f.last = 0, time.Now()
	}
	if f.due {
		f.due = false
		f.idle.Reset(time.Until(f.last.Add(s.idleInterval())))
	}
}

// endFollowing ends the subscription with QueryTerminated (RFC 7653 8.4, 9.5), which is the connection's last message. A requestor that has
// closed its half has ended it: it gets the REPLY, if it has not had that, and nothing more.
func (s *sender) endFollowing(why reason, text string) {
	f := s.following
	if f == nil {
		return
	}
	if why == endUnsubscribed {
		s.replyOnce()
		s.unfollow()
		s.drop(f.query)
		return
	}
	s.unfollow()
	s.abort(f.query, dhcpv6.StatusQueryTerminated, text, why)
}

// replyOnce appends the REPLY if there was none.
func (s *sender) replyOnce() {
	if s.following.accepted {
		return
	}
	switch told, more, err := s.frame(s.following.subscription.Next); {
	case err != nil:
		s.conn.log.Error("subscription not answered", transactionID(s.following.query.id), "err", err)
	case told && more:
		s.noteTold()
	}
}

// pause gives the state back before what may take long.
func (s *sender) pause() {
	if s.following != nil {
		s.following.subscription.Pause()
	}
}

// await waits until there is something to look at, or the subscription has been silent for long.
func (s *sender) await() {
	f := s.following
	if f == nil {
		<-s.conn.wake
		return
	}
	select {
	case <-s.conn.wake:
	case now := <-f.idle.C:
		if left := f.last.Add(s.idleInterval()).Sub(now); left > 0 {
			f.idle.Reset(left)
			return
		}
		f.due = true
		s.conn.news.Store(true)
	}
}

// dataTimeout is how long the requestor may leave a buffer unread.
func (s *sender) dataTimeout() time.Duration {
	if s.following != nil {
		return s.conn.server.config.Active.DataTimeout
	}
	return s.conn.server.config.DataTimeout
}
