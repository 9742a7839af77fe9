package leasequery

import (
	"errors"
	"net/netip"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// clockEvery is how many clients are told by one reading of the clock, at most. It is read again as well whenever the caller
// has sent away what it had: a requestor that stalls does not get the lifetimes of long ago.
const clockEvery = 16

// tooLargeForUDP is what a requestor is told whose answer does not fit into a datagram; RFC 5007 has no status of its own for it.
const tooLargeForUDP = "too large for UDP: use TCP"

// ErrClosed says that an answer was used after it was closed.
var ErrClosed = errors.New("answer is closed")

// phase is how far an answer has come.
type phase uint8

const (
	unsent phase = iota // the REPLY is next
	data                // DATA or DONE is next
	ended               // nothing is next
)

// Answer is the answer to one query, made message by message. It is for one goroutine at a time.
type Answer struct {
	engine     *Engine
	over       Transport
	kind       dhcpv6.QueryType
	id         dhcpv6.TransactionID
	clientID   []byte // the requestor's, copied into the REPLY
	serverDUID []byte
	base       bool // whether every message has OPTION_LQ_BASE_TIME
	dated      bool // whether baseAt is known
	baseAt     binding.Time
	failed     bool

	refused     *refusal
	view        binding.View
	now         binding.Time // what lifetimes count from
	selection   binding.Query
	around      netip.Addr     // by address: match what is or contains it, rather than the selection's key
	leaving     bool           // whether the portrait's link is not, or no longer, one that the query selects
	formerly    netip.Addr     // the link-address that may have selected such a link for the sake of a binding that has ended
	span        *changes       // what a query for a span of time is about; else nil
	walks       int            // of such a query: walks that are over
	other       binding.Client // of such a query: who has what another client had
	cursor      binding.Cursor // nil when nothing can be found
	restrictor  *restrictor
	requested   []dhcpv6.OptionCode
	hidden      hiddenOptions
	relayData   bool
	beside      bool         // whether relay data stands beside OPTION_CLIENT_DATA rather than in it
	clientLinks []netip.Addr // OPTION_LQ_CLIENT_LINK in place of data

	phase    phase
	ticks    int // clients since the clock was read
	reached  int // length of the caller's buffer behind the newest message
	portrait portrait
	pending  bool // whether portrait has a client that is not told whole yet
	clients  uint64
	bindings uint64
	closed   bool
	envelope int // octets that a relay's messages around this one take
	spare    spare
}

// refuse makes the answer a status and nothing else.
func (a *Answer) refuse(r *refusal) *Answer {
	a.refused = r
	return a
}

// Next appends one message, unframed, to dst and tells whether another follows. After an error, which is ErrClosed, the answer
// is over.
func (a *Answer) Next(dst []byte) (out []byte, more bool, err error) {
	if a.closed || a.phase == ended {
		return dst, false, ErrClosed
	}
	if len(dst) < a.reached {
		a.ticks = 0
	}
	out, more, err = a.message(dst)
	a.reached = len(out)
	return out, more, err
}

// message appends the next message.
func (a *Answer) message(dst []byte) ([]byte, bool, error) {
	if a.phase == unsent {
		return a.reply(dst)
	}
	if !a.pending && !a.advance() {
		a.phase = ended
		return a.appendBase(dhcpv6.AppendHeader(dst, dhcpv6.MessageLeasequeryDone, a.id)), false, nil
	}
	start := len(dst)
	dst = a.appendBase(dhcpv6.AppendHeader(dst, dhcpv6.MessageLeasequeryData, a.id))
	return a.tell(dst, start), true, nil
}

// reply appends the LEASEQUERY-REPLY (RFC 5460 5.2.1): a status, or the first client, or nothing where nothing was found.
func (a *Answer) reply(dst []byte) ([]byte, bool, error) {
	start := len(dst)
	if a.refused != nil {
		return a.refusal(dst)
	}
	dst = a.appendReply(dst)
	if !a.advance() {
		return a.withoutData(dst, start)
	}
	a.phase = data
	dst = a.tell(dst, start)
	if a.over == TCP {
		return dst, true, nil
	}
	a.phase = ended
	if a.pending { // one datagram is all there is
		a.clients, a.bindings = 0, 0
		a.refuse(refuse(dhcpv6.StatusUnspecFail, tooLargeForUDP))
		return a.refusal(dst[:start])
	}
	return dst, false, nil
}

// refusal appends the LEASEQUERY-REPLY that is a status.
func (a *Answer) refusal(dst []byte) ([]byte, bool, error) {
	a.phase = ended
	a.engine.config.Metrics.refused(a.refused.status)
	dst, err := dhcpv6.StatusCode{Status: a.refused.status, Text: a.refused.text}.AppendBinary(a.appendReply(dst))
	return dst, false, err
}

// withoutData ends the LEASEQUERY-REPLY that begins at dst[start] and tells of no client: with the client's links
// (RFC 5007 4.1.2.5), or as it is.
func (a *Answer) withoutData(dst []byte, start int) ([]byte, bool, error) {
	a.phase = ended
	if len(a.clientLinks) == 0 {
		return dst, false, nil
	}
	n := len(a.clientLinks) * addressSize
	if len(dst)-start+optionHeader+n > a.room() {
		a.refuse(refuse(dhcpv6.StatusUnspecFail, tooLargeForUDP))
		return a.refusal(dst[:start])
	}
	dst = appendHeader(dst, dhcpv6.OptionLQClientLink, n)
	for _, l := range a.clientLinks {
		dst = appendAddr(dst, l)
	}
	return dst, false, nil
}

// appendReply appends a LEASEQUERY-REPLY up to where its outcome stands.
func (a *Answer) appendReply(dst []byte) []byte {
	dst = dhcpv6.AppendHeader(dst, dhcpv6.MessageLeasequeryReply, a.id)
	dst = append(appendHeader(dst, dhcpv6.OptionClientID, len(a.clientID)), a.clientID...)
	return a.appendBase(a.engine.appendServerID(dst, a.serverDUID))
}

// appendBase appends OPTION_LQ_BASE_TIME (RFC 7653 6.3.1) if it was asked for: in bulk leasequery the view's closed time.
func (a *Answer) appendBase(dst []byte) []byte {
	if !a.base || !a.dated {
		return dst
	}
	return appendBaseTime(dst, a.baseAt)
}

// appendBaseTime appends OPTION_LQ_BASE_TIME.
func appendBaseTime(dst []byte, at binding.Time) []byte {
	t := at.BaseTime()
	return append(appendHeader(dst, dhcpv6.OptionLQBaseTime, 4), byte(t>>24), byte(t>>16), byte(t>>8), byte(t))
}

// advance finds the next client that is to be shown.
func (a *Answer) advance() bool {
	if a.cursor == nil {
		return false
	}
	for a.cursor.Next(&a.portrait.client) || a.walkAgain() {
		if a.ticks--; a.ticks < 0 && !a.base {
			a.now, a.ticks = a.engine.state.Now(), clockEvery-1
		}
		if a.look() {
			a.clients++
			a.bindings += uint64(len(a.portrait.shown))
			a.pending = true
			return true
		}
	}
	return false
}

// tell appends the client data of the pending client, or as much of it as the message has room for.
func (a *Answer) tell(dst []byte, start int) []byte {
	dst = a.appendClientData(dst, start)
	a.pending = a.portrait.next < len(a.portrait.shown)
	return dst
}

// Abort appends the message that ends the answer early with a status: a LEASEQUERY-REPLY if none was sent, else a
// LEASEQUERY-DONE (RFC 5460 7.2).
func (a *Answer) Abort(dst []byte, s dhcpv6.Status, text string) ([]byte, error) {
	if a.closed || a.phase == ended {
		return dst, ErrClosed
	}
	if a.phase == unsent {
		dst = a.appendReply(dst)
	} else {
		dst = a.appendBase(dhcpv6.AppendHeader(dst, dhcpv6.MessageLeasequeryDone, a.id))
	}
	a.phase, a.failed = ended, true
	a.engine.config.Metrics.refused(s)
	return dhcpv6.StatusCode{Status: s, Text: text}.AppendBinary(dst)
}

// Failed tells that the server could not serve the query: its connection ends behind the status (RFC 5460 7.4).
func (a *Answer) Failed() bool { return a.failed }

// Pinned is how many octets of old state only this answer's view keeps in memory; 0 where the view does not tell.
func (a *Answer) Pinned() int64 {
	if p, ok := a.view.(interface{ Pinned() int64 }); ok && !a.closed {
		return p.Pinned()
	}
	return 0
}

// Kept is how many octets of old state are in memory because this answer's view is held, or any newer one; 0 where the view does not tell.
func (a *Answer) Kept() int64 {
	if p, ok := a.view.(interface{ Kept() int64 }); ok && !a.closed {
		return p.Kept()
	}
	return 0
}

// Close gives the view back. The answer is over. Closing twice does nothing.
func (a *Answer) Close() {
	if a.closed {
		return
	}
	a.closed = true
	a.engine.config.Metrics.told(a.kind, a.clients, a.bindings)
	if a.view != nil {
		a.view.Release()
		a.view, a.cursor = nil, nil
	}
}
