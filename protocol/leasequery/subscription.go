package leasequery

import (
	"net/netip"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

var unspecified = netip.IPv6Unspecified()

// Subscription answers one ACTIVELEASEQUERY (RFC 7653): it is a position in the order of changes, which moves on as messages are
// made. It keeps no queue, and no view while it rests: what was not told of when a requestor was slow is told of in its newest
// state. It is for one goroutine at a time; Changed, Waiting and Behind are too.
type Subscription struct {
	answer  Answer // how messages are made, and for whom
	history History

	linkAddress netip.Addr       // that selects links; the zero Addr where none does
	links       []binding.LinkID // that it selects
	left        []binding.LinkID // that it did select, and of which ends may still be to be told
	linksAsked  uint64           // History.LinksChanged when links were asked for
	asked       []binding.LinkID // memory to ask for links anew

	position   uint64       // all changes up to this one have been told of
	seen       binding.Time // all changes before this time have been
	newest     uint64       // the newest change of the newest state that was looked at
	level      uint64       // the position when last all was told of the state before the newest
	catchingUp bool         // whether CatchUpComplete is still to come
	target     uint64       // the newest change at the time of acceptance
	missing    string       // what the next message says with DataMissing, unless ""

	view    binding.History // nil while the subscription rests
	changed <-chan struct{} // of the feed, from before the view was taken
	marks   []binding.Mark  // behind position, in order
	next    int             // the first of marks that was not looked at
	upTo    uint64          // of marks from the past: they hold all that is to be told up to this change
	page    [feedPage]binding.Mark

	behind    bool // whether the feed does not reach back to the position
	recalling bool // whether it does not, or did not a moment ago: the engine keeps what it shares of the past

	mark binding.Mark // the change that the portrait is about
	last lastTold

	started bool // whether the REPLY was sent
	waiting bool
	looked  int // of lookAt, by this call
	over    bool
	closed  bool
	reached int
}

// refuse makes the subscription a status and nothing else.
func (s *Subscription) refuse(r *refusal) *Subscription {
	s.answer.refused = r
	if s.history != nil && !s.answer.dated { // RFC 7653 9.3: base time in every reply
		s.answer.baseAt, s.answer.dated = clockOf(s.history), true
	}
	return s
}

// Next appends at most one message, unframed, to dst. more is false when the subscription is over and its connection is to be
// closed behind the message. When nothing is appended, Waiting tells whether there is nothing to tell until Changed, or merely
// nothing among as many changes as one call looks at. It is to be called every second or so even so: it ends the subscription
// when this node cannot prove any more that it is up to date. After an error, which is ErrClosed, the subscription is over.
func (s *Subscription) Next(dst []byte) (out []byte, more bool, err error) {
	if s.closed || s.over {
		return dst, false, ErrClosed
	}
	if len(dst) < s.reached { // what was there has been sent: from here on the state is newer
		s.Pause()
	}
	s.waiting = false
	out, err = s.message(dst)
	s.reached = len(out)
	if s.over || s.waiting {
		s.Pause()
		s.count()
	}
	return out, !s.over, err
}

// message appends the next message, if there is one.
func (s *Subscription) message(dst []byte) ([]byte, error) {
	if s.answer.refused != nil {
		s.over = true
		out, _, err := s.answer.refusal(dst)
		return out, err
	}
	found := false
	for range 2 { // where something is to be recalled first, advance gives the view back
		if s.view == nil {
			if s.look(); s.started && s.answer.engine.stale(s.history) { // asked behind the view
				return s.Abort(dst, dhcpv6.StatusQueryTerminated, "this server is not up to date; ask another")
			}
		}
		if s.missing != "" {
			return s.tellMissing(dst)
		}
		if found = s.answer.pending || s.advance(); s.view != nil {
			break
		}
	}
	switch {
	case found:
		start := len(dst)
		return s.answer.tell(s.open(dst), start), nil
	case !s.started:
		s.waiting = false // CatchUpComplete may follow
		s.answer.baseAt = s.seen
		return s.open(dst), nil
	case s.catchingUp && s.caughtUp():
		s.catchingUp, s.waiting = false, false
		s.seen = max(s.seen, binding.ChangeTime(s.target))
		s.answer.baseAt = s.seen
		s.answer.engine.config.Metrics.caughtUp()
		return dhcpv6.StatusCode{Status: dhcpv6.StatusCatchUpComplete}.AppendBinary(s.open(dst))
	}
	return dst, nil
}

// open appends the begin of the next message: of the REPLY if none was sent, else of LEASEQUERY-DATA.
func (s *Subscription) open(dst []byte) []byte {
	if s.started {
		return s.answer.appendBase(dhcpv6.AppendHeader(dst, dhcpv6.MessageLeasequeryData, s.answer.id))
	}
	s.started = true
	return s.answer.appendReply(dst)
}

// tellMissing appends the message that says DataMissing (RFC 7653 8.4.1): a REPLY at the beginning, else DATA. What is told from
// here on is what changes from now on.
func (s *Subscription) tellMissing(dst []byte) ([]byte, error) {
	text := s.missing
	s.missing = ""
	s.skipTo(s.view)
	s.answer.baseAt = s.seen
	return dhcpv6.StatusCode{Status: dhcpv6.StatusDataMissing, Text: text}.AppendBinary(s.open(dst))
}

// Idle is Next, but appends a LEASEQUERY-DATA that tells of nothing (RFC 7653 8.4) when there is nothing to tell.
func (s *Subscription) Idle(dst []byte) (out []byte, more bool, err error) {
	out, more, err = s.Next(dst)
	if err != nil || !more || !s.waiting || len(out) > len(dst) {
		return out, more, err
	}
	s.answer.baseAt = s.seen
	out = s.open(out)
	s.reached = len(out)
	return out, true, nil
}

// Waiting tells, behind a call of Next, that there is nothing to tell until Changed.
func (s *Subscription) Waiting() bool { return s.waiting }

// Changed is closed when there may be more to tell than Next has found. It is nil before the first call of Next.
func (s *Subscription) Changed() <-chan struct{} { return s.changed }

// Behind tells whether there is much to look through: all that changed before the subscription, or what a slow requestor has left.
func (s *Subscription) Behind() bool { return s.catchingUp || s.recalling }

// Pause gives back what keeps old state in memory. It is called whenever Next will not be called for a while; the next call goes on
// with the newest state.
func (s *Subscription) Pause() {
	if s.view != nil {
		s.view.Release()
		s.view, s.answer.view = nil, nil
	}
}

// Pinned is how many octets of old state only this subscription keeps in memory: none once it was paused.
func (s *Subscription) Pinned() int64 { return s.answer.Pinned() }

// Kept is how many octets of old state are in memory because this subscription holds a view, or others hold newer ones.
func (s *Subscription) Kept() int64 { return s.answer.Kept() }

// Abort appends the message that ends the subscription with a status: a LEASEQUERY-REPLY if none was sent, else a
// LEASEQUERY-DONE (RFC 7653 8.4), with the base time to go on from.
func (s *Subscription) Abort(dst []byte, status dhcpv6.Status, text string) ([]byte, error) {
	if s.closed || s.over {
		return dst, ErrClosed
	}
	a := &s.answer
	a.baseAt = s.seen
	if s.started {
		dst = a.appendBase(dhcpv6.AppendHeader(dst, dhcpv6.MessageLeasequeryDone, a.id))
	} else {
		dst = s.open(dst)
	}
	s.over = true
	s.Pause()
	a.engine.config.Metrics.refused(status)
	return dhcpv6.StatusCode{Status: status, Text: text}.AppendBinary(dst)
}

// count adds to the metrics what was told since it was called last.
func (s *Subscription) count() {
	a := &s.answer
	a.engine.config.Metrics.add(a.clients, a.bindings)
	a.clients, a.bindings = 0, 0
}

// Failed tells that the connection is to be closed: the subscription was refused, or has ended.
func (s *Subscription) Failed() bool { return s.over || s.answer.refused != nil }

// Close ends the subscription. Closing twice does nothing.
func (s *Subscription) Close() {
	if s.closed {
		return
	}
	s.Pause()
	s.forgetPast()
	s.closed = true
	s.count()
}
