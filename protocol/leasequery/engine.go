package leasequery

import (
	"bytes"
	"context"
	"slices"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// Config says how queries are answered, where a requestor's own stanza does not say otherwise.
type Config struct {
	RelayData RelayDataMode       // RelayDataDefault is RelayDataOnRequest
	Sensitive []dhcpv6.OptionCode // options that are shown to nobody, in client data and in relay data
	Metrics   *Metrics            // nil counts for nobody
}

// Engine answers queries from the state. Any number of goroutines may use it.
type Engine struct {
	config Config
	state  State
}

// New is an engine that answers from state.
func New(config Config, state State) *Engine {
	if config.Metrics == nil {
		config.Metrics = NewMetrics(nil)
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
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		a.base, a.failed = false, true
		return a.refuse(refuse(dhcpv6.StatusQueryTerminated, "this server is not up to date; ask another")), nil
	}
	a.view, a.now = view, e.state.Now()
	if a.base {
		a.now = view.Clock() // lifetimes count from the base time that is told
	}
	if refused != nil {
		return a.refuse(refused), nil
	}
	return a.prepare(r, &q), nil
}

// acceptable tells why a message gets no answer at all.
func (e *Engine) acceptable(m dhcpv6.Message) error {
	if m.Type != dhcpv6.MessageLeasequery {
		return &DiscardError{DiscardType}
	}
	if v, ok := m.Options.First(dhcpv6.OptionClientID); !ok || len(v) == 0 {
		return &DiscardError{DiscardNoClientID}
	}
	if e.foreign(m) {
		return &DiscardError{DiscardForeignServerID}
	}
	if _, ok := m.Options.First(dhcpv6.OptionLQQuery); !ok {
		return &DiscardError{DiscardNoQuery}
	}
	return nil
}

// foreign tells whether a message is meant for another server.
func (e *Engine) foreign(m dhcpv6.Message) bool {
	v, ok := m.Options.First(dhcpv6.OptionServerID)
	return ok && !bytes.Equal(v, e.state.ServerDUID())
}

// Refuse appends the one message that refuses m with a status: a LEASEQUERY-REPLY, or a REPLY to STARTTLS (RFC 7653 8.2). The
// error wraps ErrDiscard when m gets no answer.
func (e *Engine) Refuse(dst []byte, m dhcpv6.Message, s dhcpv6.Status, text string) ([]byte, error) {
	kind := dhcpv6.MessageLeasequeryReply
	client, _ := m.Options.First(dhcpv6.OptionClientID)
	if m.Type == dhcpv6.MessageStartTLS {
		kind = dhcpv6.MessageReply
	} else if len(client) == 0 {
		return dst, &DiscardError{DiscardNoClientID}
	}
	if e.foreign(m) {
		return dst, &DiscardError{DiscardForeignServerID}
	}
	dst = dhcpv6.AppendHeader(dst, kind, m.TransactionID)
	if len(client) > 0 {
		dst = append(appendHeader(dst, dhcpv6.OptionClientID, len(client)), client...)
	}
	dst = e.appendServerID(dst, e.state.ServerDUID())
	e.config.Metrics.refused(s)
	return dhcpv6.StatusCode{Status: s, Text: text}.AppendBinary(dst)
}

func (e *Engine) appendServerID(dst, duid []byte) []byte {
	return append(appendHeader(dst, dhcpv6.OptionServerID, len(duid)), duid...)
}

// prepare resolves the query against the view and makes the answer ready to stream.
func (a *Answer) prepare(r Request, q *query) *Answer {
	config := &a.engine.config
	selection, found, refused := resolve(a.view, q)
	if refused != nil {
		return a.refuse(refused)
	}
	a.selection, a.requested = selection, q.requested
	a.restrictor = restrict(r.Requestor, r.Peer.Addr())
	mode := config.RelayData
	a.hidden = hiddenOptions(config.Sensitive)
	if r.Requestor != nil {
		if r.Requestor.RelayData != RelayDataDefault {
			mode = r.Requestor.RelayData
		}
		if len(r.Requestor.Sensitive) > 0 {
			a.hidden = slices.Concat(a.hidden, hiddenOptions(r.Requestor.Sensitive))
		}
	}
	a.relayData = (mode == RelayDataAlways || q.asks(dhcpv6.OptionLQRelayData)) && !a.hidden.has(uint16(dhcpv6.OptionLQRelayData))
	if !found {
		return a
	}
	a.cursor = a.view.Select(selection)
	if a.over == UDP {
		a.prepareUDP(q)
	}
	return a
}
