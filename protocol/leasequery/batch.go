package leasequery

import (
	"context"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// Batch answers queries over UDP (RFC 5007), as many as came together from one view, without an allocation a query. It is used
// again and again: Open, any number of Answer and Refuse, Close. It is for one goroutine at a time.
type Batch struct {
	engine     *Engine
	view       binding.View // nil when there is none
	now        binding.Time
	serverDUID []byte
	answer     Answer
	query      query
	stale      *DiscardError
	told       [dhcpv6.QueryByClientID + 1]batchTold // by query type; 0 for all that have none over UDP
}

// batchTold is what the answers to one type of query came to.
type batchTold struct{ queries, clients, bindings uint64 }

// NewBatch is a batch for one goroutine, closed.
func (e *Engine) NewBatch() *Batch { return &Batch{engine: e} }

// Open takes the view that the next answers are made from: it holds everything that was acknowledged before the call. When there
// is none to be had, because this node cannot prove that it is up to date or because ctx ends, Open returns that error; queries that
// are at fault themselves can be refused all the same.
func (b *Batch) Open(ctx context.Context) error {
	view, err := b.engine.state.View(ctx)
	b.serverDUID = b.engine.state.ServerDUID()
	if err != nil {
		b.stale = &DiscardError{Reason: DiscardNotFresh, Err: err}
		return err
	}
	b.view, b.now = view, b.engine.state.Now()
	return nil
}

// Answer appends the one message that answers a LEASEQUERY over UDP. The error wraps ErrDiscard when it gets none.
func (b *Batch) Answer(dst []byte, r Request) ([]byte, error) {
	e, a, q := b.engine, &b.answer, &b.query
	if err := e.acceptable(r.Message); err != nil {
		return dst, err
	}
	refused := q.parse(r.Message, UDP)
	if refused == nil && !r.Requestor.allows(q.kind) {
		refused = refuse(dhcpv6.StatusNotAllowed, "%v is not allowed to this requestor", q.kind)
	}
	b.begin(r, q.kind)
	switch {
	case refused != nil:
		a.refuse(refused)
	case b.view == nil:
		return dst, b.stale
	default:
		a.prepare(r, q)
	}
	return b.tell(dst)
}

// Refuse appends the one message that answers a LEASEQUERY with a status. The error wraps ErrDiscard when it gets none.
func (b *Batch) Refuse(dst []byte, r Request, s dhcpv6.Status, text string) ([]byte, error) {
	if err := b.engine.acceptable(r.Message); err != nil {
		return dst, err
	}
	b.begin(r, 0)
	b.answer.refuse(&refusal{status: s, text: text})
	return b.tell(dst)
}

// begin makes the answer one to r, in the memory of the one before.
func (b *Batch) begin(r Request, kind dhcpv6.QueryType) {
	a := &b.answer
	client, _ := r.Message.Options.First(dhcpv6.OptionClientID)
	*a = Answer{
		engine: b.engine, over: UDP, kind: kind, id: r.Message.TransactionID,
		clientID: append(a.clientID[:0], client...), serverDUID: b.serverDUID, envelope: r.Envelope,
		view: b.view, now: b.now, ticks: clockEvery,
		clientLinks: a.clientLinks[:0], spare: a.spare,
		portrait: portrait{
			client: binding.Client{Entries: a.portrait.client.Entries[:0]}, shown: a.portrait.shown[:0], trailer: a.portrait.trailer[:0],
		},
	}
}

func (b *Batch) tell(dst []byte) ([]byte, error) {
	a := &b.answer
	dst, _, err := a.Next(dst)
	kind := a.kind
	if int(kind) >= len(b.told) {
		kind = 0
	}
	t := &b.told[kind]
	t.queries++
	t.clients += a.clients
	t.bindings += a.bindings
	return dst, err
}

// Close gives the view back and counts what was answered.
func (b *Batch) Close() {
	m := b.engine.config.Metrics
	for kind := range b.told {
		if t := &b.told[kind]; t.queries > 0 {
			m.queries.WithLabelValues(typeLabel(dhcpv6.QueryType(kind))).Add(float64(t.queries))
			m.clients.Add(float64(t.clients))
			m.bindings.Add(float64(t.bindings))
			*t = batchTold{}
		}
	}
	if b.view != nil {
		b.view.Release()
		b.view = nil
	}
	// What is kept until the next batch, which may be long, points into no view: it would keep old state in memory.
	a := &b.answer
	entries := a.portrait.client.Entries[:cap(a.portrait.client.Entries)]
	clear(entries)
	*a = Answer{
		clientID: a.clientID[:0], clientLinks: a.clientLinks[:0],
		portrait: portrait{client: binding.Client{Entries: entries[:0]}, shown: a.portrait.shown[:0], trailer: a.portrait.trailer[:0]},
		spare:    spare{links: a.spare.links[:0], on: a.spare.on[:0], hidden: a.spare.hidden[:0]},
	}
}
