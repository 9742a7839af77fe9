package udp

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/udp/datagram"
)

const (
	// answerOctets is how many octets of answers are gathered before they are sent.
	answerOctets = 640 << 10
	// answerRoom is what one more answer may take of them: a message, what the engine writes before it finds that it does not fit,
	// the relays' messages around it, and all of that in fragments.
	answerRoom = 288 << 10
)

// answerer answers the queries of one room.
type answerer struct {
	server *Server
	room   *room
	batch  *leasequery.Batch
	out    *datagram.Writer
	raw    *datagram.Writer // of Config.Raw; nil when there is none
	port   uint16           // of the socket
	octets []byte           // the answers that are to be sent
	relays chain
}

// answer answers until the reader has ended and the room is empty.
func (w *worker) answer() {
	a := &w.answerer
	for l := a.room.take(); l != nil; l = a.room.take() {
		a.load(l)
	}
}

// load answers queries from one view, each that waits for it for no longer than it may be held.
func (a *answerer) load(l *load) {
	began := l.questions[0].arrived
	for len(l.questions) > 0 {
		now := l.questions
		if a.open(l.questions[0].arrived.Add(a.server.config.Hold)) {
			now = a.late(l)
		}
		for i := range now {
			a.one(&now[i])
		}
		a.flush()
		a.batch.Close()
		a.room.mu.Lock()
		l.questions = append(l.questions[:0], l.questions[len(now):]...)
		a.room.mu.Unlock()
	}
	a.server.metrics.seconds.Observe(time.Since(began).Seconds())
}

// open takes a view, and waits for it until the deadline. late is true when the deadline passed: there is no view, but for queries
// that came later there may be one yet. Without a view for any other reason there is none at all.
func (a *answerer) open(deadline time.Time) (late bool) {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	a.room.waiting(time.Now())
	defer a.room.waiting(time.Time{})
	err := a.batch.Open(ctx)
	switch {
	case err == nil:
		a.server.metrics.views.Inc()
	case ctx.Err() != nil:
		return true
	default:
		a.server.log.Debug("leasequery over UDP not answered", "err", err)
	}
	return false
}

// late is the queries that have been held for as long as they may be: at least the first.
func (a *answerer) late(l *load) []question {
	now := time.Now()
	n := 1
	for n < len(l.questions) && now.Sub(l.questions[n].arrived) >= a.server.config.Hold {
		n++
	}
	return l.questions[:n]
}

// one answers one query, or counts why not.
func (a *answerer) one(q *question) {
	begin := len(a.octets)
	r := leasequery.Request{
		Message: dhcpv6.Message{Type: dhcpv6.MessageType(q.octets[q.inner]), TransactionID: dhcpv6.TransactionID(q.octets[q.inner+1 : q.inner+4]),
			Options: dhcpv6.Options(q.octets[q.inner+4 : q.end])},
		Peer: netip.AddrPortFrom(q.from.Addr, q.from.Port), Requestor: q.requestor, Over: leasequery.UDP,
	}
	to := datagram.Outgoing{To: q.from, Local: q.local, Interface: q.iface}
	if q.local.IsMulticast() {
		to.Local = a.server.config.Source
	}
	var err error
	if q.inner > 0 {
		err = a.relayed(q, r, &to)
	} else {
		a.octets, err = a.batch.Answer(a.octets, r)
	}
	switch {
	case err != nil:
		a.octets = a.octets[:begin]
		a.discard(err)
		return
	case len(a.octets)-begin > maxDatagram:
		a.octets = a.octets[:begin]
		a.server.metrics.discard(discardTooLarge, 1)
		return
	case q.inner > 0:
		a.server.metrics.relayed.Inc()
	default:
		a.server.metrics.direct.Inc()
	}
	to.Octets = a.octets[begin:len(a.octets):len(a.octets)]
	full := false
	if tooLarge(to.Octets) && a.raw != nil && !to.Local.IsUnspecified() && !to.Local.IsMulticast() {
		a.fragments(to)
	} else {
		full = a.out.Add(to)
	}
	if full || len(a.octets) > cap(a.octets)-answerRoom {
		a.flush()
	}
}

// fragments sends an answer in packets that every link carries.
func (a *answerer) fragments(to datagram.Outgoing) {
	a.server.metrics.fragmented.Inc()
	begin := len(a.octets)
	from := netip.AddrPortFrom(to.Local, a.port)
	var size int
	a.octets, size = appendFragments(a.octets, to.Octets, from, netip.AddrPortFrom(to.To.Addr, to.To.Port), rand.Uint32())
	to.To.Port = 0
	for packets := a.octets[begin:]; len(packets) > 0; packets = packets[len(to.Octets):] {
		to.Octets = packets[:min(size, len(packets))]
		if a.raw.Add(to) {
			a.send(a.raw)
		}
	}
}

// relayed answers a query that came through relays: a Relay-reply around a Relay-reply, as deep as the query was
// (RFC 8415 19.3).
func (a *answerer) relayed(q *question, r leasequery.Request, to *datagram.Outgoing) (err error) {
	if reason := a.relays.parse(q.octets, a.server.config.MaxHops); reason != "" {
		return &leasequery.DiscardError{Reason: reason} // it was looked at before: it is well
	}
	if !a.relays.fromPort() {
		to.To.Port = a.server.config.RelayPort
	}
	if to.To.Scope == 0 {
		to.Interface = 0 // a relay is routed to; the interface is for whoever is on the link (RFC 8415 18.3.10)
	}
	begin := len(a.octets)
	a.octets = a.relays.open(a.octets)
	r.Envelope = len(a.octets) - begin
	if s, text := a.relays.vpn(); s != dhcpv6.StatusSuccess {
		a.octets, err = a.batch.Refuse(a.octets, r, s, text)
	} else {
		a.octets, err = a.batch.Answer(a.octets, r)
	}
	if err == nil {
		a.relays.close(a.octets)
	}
	return err
}

// flush sends the answers that were gathered.
func (a *answerer) flush() {
	a.send(a.out)
	if a.raw != nil {
		a.send(a.raw)
	}
	a.octets = a.octets[:0]
}

func (a *answerer) send(out *datagram.Writer) {
	_, octets, lost, err := out.Flush()
	m := a.server.metrics
	m.octets.Add(float64(octets))
	if lost > 0 {
		m.sendErrors.Add(float64(lost))
		a.server.log.Debug("answers to leasequery over UDP not sent", "lost", lost, "err", err)
	}
}

// discard counts a query that the engine gives no answer.
func (a *answerer) discard(err error) {
	reason := "leasequery"
	if d, ok := errors.AsType[*leasequery.DiscardError](err); ok {
		reason = d.Reason
	}
	a.server.metrics.discard(reason, 1)
}
