package leasequery

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// Config says how queries are answered, where a requestor's own stanza does not say otherwise.
type Config struct {
	RelayData RelayDataMode       // RelayDataDefault is RelayDataOnRequest
	Sensitive []dhcpv6.OptionCode // options that are shown to nobody, in client data and in relay data
	Metrics   *Metrics            // nil counts for nobody
	Logger    *slog.Logger        // nil says nothing

	RelayDataPlace  RelayDataPlace      // RelayDataPlaceDefault is RelayDataInClientData
	ActiveSensitive []dhcpv6.OptionCode // shown in no subscription, besides Sensitive (RFC 7653 9.3)
	MaxStaleness    time.Duration       // of the newest proof that the node is up to date, while subscriptions run; 0 is 10 s
}

// Engine answers queries from the state. Any number of goroutines may use it.
type Engine struct {
	config Config
	state  State
	past   past // of subscriptions
}

// New is an engine that answers from state.
func New(config Config, state State) *Engine {
	if config.Metrics == nil {
		config.Metrics = NewMetrics(nil)
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	return &Engine{config: config, state: state}
}

// Begin takes a LEASEQUERY and returns its answer, which the caller closes. The error wraps ErrDiscard when the message gets no
// answer, or is the context's. A node that cannot prove that it is up to date answers QueryTerminated (RFC 5460 7.2).
func (e *Engine) Begin(ctx context.Context, r Request) (*Answer, error) {
	if err := e.acceptable(r.Message); err != nil {
		return nil, err
	}
	client, _ := r.Message.Options.First(dhcpv6.OptionClientID)
	a := &Answer{engine: e, over: r.Over, id: r.Message.TransactionID, clientID: slices.Clone(client), serverDUID: e.state.ServerDUID()}
	q, refused := parse(r.Message, r.Over)
	a.base, a.kind = q.baseTime, q.kind
	if refused == nil && !r.Requestor.allows(q.kind) {
		refused = refuse(dhcpv6.StatusNotAllowed, "%v is not allowed to this requestor", q.kind)
	}
	if refused != nil && !a.base {
		return a.refuse(refused), nil
	}
	view, err := e.state.View(ctx)
	a.serverDUID = e.state.ServerDUID() // a node that has only just started may have learned it meanwhile
	if err != nil {
		return a.withoutView(ctx, refused, err)
	}
	a.view, a.now, a.baseAt, a.dated = view, e.state.Now(), view.Clock(), true
	if a.base {
		a.now = view.Clock() // lifetimes count from the base time that is told
	}
	if refused != nil {
		return a.refuse(refused), nil
	}
	return a.prepare(r, &q), nil
}

// withoutView is the answer of a node that cannot prove that it is up to date. A query that is refused for what it is stays
// refused for that: it must not cost its connection.
func (a *Answer) withoutView(ctx context.Context, refused *refusal, err error) (*Answer, error) {
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case refused != nil:
		return a.refuse(refused), nil
	case a.over == UDP:
		return nil, &DiscardError{Reason: DiscardNotFresh, Err: err}
	}
	a.engine.config.Logger.Debug("leasequery not served", "err", err)
	a.failed = true
	return a.refuse(refuse(dhcpv6.StatusQueryTerminated, "this server is not up to date; ask another")), nil
}

// acceptable tells why a message gets no answer at all.
func (e *Engine) acceptable(m dhcpv6.Message) error {
	if m.Type != dhcpv6.MessageLeasequery {
		return &DiscardError{Reason: DiscardType}
	}
	if err := e.addressed(m); err != nil {
		return err
	}
	if _, ok := m.Options.First(dhcpv6.OptionLQQuery); !ok {
		return &DiscardError{Reason: DiscardNoQuery}
	}
	return nil
}

// addressed tells why a message cannot be answered: its sender does not say who it is, or means another server.
func (e *Engine) addressed(m dhcpv6.Message) error {
	switch v, _ := m.Options.First(dhcpv6.OptionClientID); {
	case len(v) == 0:
		return &DiscardError{Reason: DiscardNoClientID}
	case len(v) > maxDUID:
		return &DiscardError{Reason: DiscardLongClientID}
	case e.foreign(m):
		return &DiscardError{Reason: DiscardForeignServerID}
	}
	return nil
}

// maxDUID is the longest DUID, in octets (RFC 8415 11.1).
const maxDUID = 130

// foreign tells whether a message is meant for another server.
func (e *Engine) foreign(m dhcpv6.Message) bool {
	v, ok := m.Options.First(dhcpv6.OptionServerID)
	return ok && !bytes.Equal(v, e.state.ServerDUID())
}

// Refuse appends the one message that refuses m with a status: a LEASEQUERY-REPLY, or a REPLY to STARTTLS (RFC 7653 8.2). The
// error wraps ErrDiscard when m gets no answer.
func (e *Engine) Refuse(dst []byte, m dhcpv6.Message, s dhcpv6.Status, text string) ([]byte, error) {
	kind := dhcpv6.MessageLeasequeryReply
	if m.Type == dhcpv6.MessageStartTLS { // its options are ignored (RFC 7653 6.2.2)
		kind = dhcpv6.MessageReply
	} else if err := e.addressed(m); err != nil {
		return dst, err
	}
	dst = e.appendIdentities(dhcpv6.AppendHeader(dst, kind, m.TransactionID), m)
	if h, ok := e.state.(History); ok && m.Type == dhcpv6.MessageActiveLeasequery {
		dst = appendBaseTime(dst, clockOf(h))
	}
	e.config.Metrics.refused(s)
	return dhcpv6.StatusCode{Status: s, Text: text}.AppendBinary(dst)
}

func (e *Engine) appendServerID(dst, duid []byte) []byte {
	return append(appendHeader(dst, dhcpv6.OptionServerID, len(duid)), duid...)
}

// prepare resolves the query against the view and makes the answer ready to stream.
func (a *Answer) prepare(r Request, q *query) *Answer {
	a.obey(r, q)
	if q.span.hasStart || q.span.hasEnd {
		s := q.span.changes(a.view.Clock())
		a.span = &s
	}
	if refused := a.resolve(q); refused != nil {
		return a.refuse(refused)
	}
	if a.over == UDP {
		a.settleLink(q)
	}
	return a
}

// obey settles what the requestor may see, and what of that it gets.
func (a *Answer) obey(r Request, q *query) {
	config := &a.engine.config
	mode := config.RelayData
	a.hidden = hiddenOptions(config.Sensitive)
	a.restrictor = a.spare.restrictor.of(r.Requestor, r.Peer.Addr())
	if r.Requestor != nil {
		if r.Requestor.RelayData != RelayDataDefault {
			mode = r.Requestor.RelayData
		}
		if len(r.Requestor.Sensitive) > 0 {
			a.spare.hidden = append(append(a.spare.hidden[:0], a.hidden...), r.Requestor.Sensitive...)
			a.hidden = a.spare.hidden
		}
	}
	a.beside = a.over == UDP && r.Requestor.place(config.RelayDataPlace) == RelayDataInMessage
	a.requested = q.requested
	a.relayData = (mode == RelayDataAlways || q.asks(dhcpv6.OptionLQRelayData)) && !a.hidden.has(uint16(dhcpv6.OptionLQRelayData))
}
