package leasequery

import (
	"context"
	"fmt"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// ahead is how far behind the clock of the cluster, in milliseconds, a start time may lie (RFC 7653 leaves it open): a requestor may
// have heard of a second that this node has not come to yet.
const ahead = 5000

// Subscribe takes an ACTIVELEASEQUERY (RFC 7653 6.2.1) and returns its subscription, which the caller closes. One that is refused
// has a single message. The error wraps ErrDiscard when the message gets no answer, or is the context's.
func (e *Engine) Subscribe(ctx context.Context, r Request) (*Subscription, error) {
	if r.Message.Type != dhcpv6.MessageActiveLeasequery {
		return nil, &DiscardError{Reason: DiscardType}
	}
	if err := e.addressed(r.Message); err != nil {
		return nil, err
	}
	client, _ := r.Message.Options.First(dhcpv6.OptionClientID)
	s := &Subscription{answer: Answer{engine: e, over: TCP, base: true, id: r.Message.TransactionID,
		clientID: slices.Clone(client), serverDUID: e.state.ServerDUID()}}
	history, ok := e.state.(History)
	if !ok {
		return s.refuse(refuse(dhcpv6.StatusNotSupported, "this server has no history of changes")), nil
	}
	s.history = history
	q, refused := parseActive(r.Message)
	s.answer.kind = q.kind
	if refused == nil {
		refused = r.Requestor.subscribes(q.kind)
	}
	if refused != nil {
		return s.refuse(refused), nil
	}
	if err := s.begin(ctx, r, &q); err != nil {
		return nil, err
	}
	return s, nil
}

// subscribes tells why the requestor may not subscribe to what a query of the type selects; 0 is everything.
func (r *Requestor) subscribes(q dhcpv6.QueryType) *refusal {
	switch {
	case r != nil && r.NoActive:
		return refuse(dhcpv6.StatusNotAllowed, "subscriptions are not allowed to this requestor")
	case r.allows(q):
		return nil
	case q == 0:
		return refuse(dhcpv6.StatusNotAllowed, "a subscription to everything is not allowed to this requestor")
	}
	return refuse(dhcpv6.StatusNotAllowed, "%v is not allowed to this requestor", q)
}

// parseActive reads an ACTIVELEASEQUERY: a LEASEQUERY, or one without OPTION_LQ_QUERY, which asks for everything.
func parseActive(m dhcpv6.Message) (q query, r *refusal) {
	if m.Options.Count(dhcpv6.OptionLQQuery) > 0 {
		r = q.parse(m, TCP)
	} else {
		r = q.parseEverything(m.Options)
	}
	if r == nil && q.span.hasEnd {
		r = refuse(dhcpv6.StatusMalformedQuery, "OPTION_LQ_END_TIME in ACTIVELEASEQUERY")
	}
	return q, r
}

// parseEverything reads a message without OPTION_LQ_QUERY.
func (q *query) parseEverything(o dhcpv6.Options) *refusal {
	q.link = unspecified
	if r := q.parseRequested(nil, o); r != nil {
		return r
	}
	if r := q.span.parseTimes(o, nil); r != nil {
		return r
	}
	return checkVSS(o)
}

// begin takes the view of the moment of acceptance and finds out where the subscription starts. The error is the context's.
func (s *Subscription) begin(ctx context.Context, r Request, q *query) error {
	a := &s.answer
	view, err := s.history.View(ctx)
	a.serverDUID = s.history.ServerDUID()
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		a.engine.config.Logger.Debug("active leasequery not served", "err", err)
		s.refuse(refuse(dhcpv6.StatusQueryTerminated, "this server is not up to date; ask another"))
		return nil
	}
	defer view.Release()
	h, ok := view.(binding.History)
	if !ok {
		s.refuse(refuse(dhcpv6.StatusNotSupported, "this server has no history of changes"))
		return nil
	}
	a.view, a.now, a.baseAt, a.dated = view, view.Clock(), view.Clock(), true
	a.obey(r, q)
	a.hideActive(r.Requestor)
	if refused := s.resolve(h, q); refused != nil {
		s.refuse(refused)
	} else {
		s.start(h, q)
	}
	a.view = nil
	return nil
}

// hideActive hides what subscriptions do not show (RFC 7653 9.3).
func (a *Answer) hideActive(r *Requestor) {
	hidden := slices.Concat(a.hidden, hiddenOptions(a.engine.config.ActiveSensitive))
	if r != nil {
		hidden = append(hidden, r.ActiveSensitive...)
	}
	a.hidden = hidden
	a.relayData = a.relayData && !hidden.has(uint16(dhcpv6.OptionLQRelayData))
}

// resolve settles what changes are told of. The links that a link-address selects are asked for anew as they change.
func (s *Subscription) resolve(view binding.History, q *query) *refusal {
	a := &s.answer
	if !q.link.IsUnspecified() {
		s.linkAddress, s.linksAsked = q.link, view.LinksChanged()
		if s.links = view.SelectLinks(nil, q.link); len(s.links) == 0 {
			return refuse(dhcpv6.StatusNotConfigured, "no link has the link-address %v", q.link)
		}
	}
	if q.kind == dhcpv6.QueryByAddress {
		if r := a.resolveAddress(q.address, s.links); r != nil {
			return r
		}
		a.cursor, a.spare.cursor = nil, nil
		a.around = q.address
	}
	a.selection = binding.Query{By: binding.By(q.kind), Value: q.value}
	return nil
}

// start finds the change behind which the subscription begins (RFC 7653 8.4.1).
func (s *Subscription) start(view binding.History, q *query) {
	s.answer.engine.config.Metrics.subscribed(q.kind)
	now := view.Clock()
	s.skipTo(view)
	s.newest = view.Change()
	if !q.span.hasStart {
		return
	}
	from := timeNear(q.span.start, now)
	switch {
	case from < view.HistorySince():
		s.lose(lostAtStart, "changes are kept from %d s of base time on", baseTimeAbove(view.HistorySince()))
	case from > now+ahead:
		s.lose(lostAhead, "the start time is %d s ahead", (from-now)/1000)
	default:
		s.catchingUp, s.target = true, view.Change()
		s.position = min(binding.ChangesFrom(from), s.position)
		s.level = 0 // a client may have been left for a change of its that lies behind the start time
		s.seen = min(from, now)
	}
}

// skipTo moves the position behind all that the view knows. Changes that are yet to come have numbers of its clock or later.
func (s *Subscription) skipTo(view binding.History) {
	s.position, s.seen = max(view.Change(), binding.ChangesFrom(view.Clock())), view.Clock()
	s.level = s.position
}

// baseTimeAbove is the first whole second at or behind t, as RFC 7653 6.3.1 writes it.
func baseTimeAbove(t binding.Time) uint32 { return (t + 999).BaseTime() }

// lose notes that changes cannot be told of: the next message says so.
func (s *Subscription) lose(why lost, format string, args ...any) {
	s.missing, s.catchingUp = fmt.Sprintf(format, args...), false
	s.marks, s.next, s.upTo, s.answer.pending = s.marks[:0], 0, 0, false
	s.forgetPast()
	s.answer.engine.config.Metrics.lost(why)
}
