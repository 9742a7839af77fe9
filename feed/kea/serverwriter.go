package kea

import (
	"context"
	"time"

	"github.com/leasehold/leasehold/feed"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// writer makes changes of rows.
type writer struct {
	server *Server
	sink   feed.Sink
	change *change
}

// kea is what Kea's clock showed when the batch being filled was begun.
func (w *writer) kea() time.Time { return w.sink.Now().Add(w.server.corrected()) }

// over tells whether a row is of a lease that has run out.
func (w *writer) over(r *row) bool {
	at, ends := r.runsOut()
	return r.leased() && ends && at <= w.kea().Unix()
}

// state states a row: a lease in force, or the end of one; noticed is when that was noticed, by our clock.
func (w *writer) state(ctx context.Context, r *row, noticed time.Time) error {
	now := w.kea()
	if !r.leased() || w.over(r) {
		return w.end(ctx, r, now, noticed)
	}
	if r.relaysFail != nil {
		w.server.ledger.add(func(t *ServerTotals) { t.Degraded++ })
	}
	if err := w.change.fill(r, 0, now.UnixMilli()); err != nil {
		w.server.ledger.add(func(t *ServerTotals) { t.Degraded++ })
		w.server.log.Debug("A lease is stated without its name", "address", r.prefix, "error", err)
	}
	return w.sink.Change(ctx, &w.change.message)
}

// end states that an address is not leased. A release carries the old transaction's time and an operator's delete none, so it ended
// when that was noticed; only what ran out did so at a time that is known.
func (w *writer) end(ctx context.Context, r *row, now, noticed time.Time) error {
	a := r.prefix.Addr().As16()
	e := &ingestv1.End{Kind: ingestv1.Kind(r.kind), Address: a[:], PrefixLength: uint32(r.prefix.Bits()), Reason: reasonOf(r),
		AgeMs: w.sink.Now().Sub(noticed).Milliseconds()}
	switch {
	case r.leased():
		e.Reason = ingestv1.Reason_REASON_EXPIRED // and whoever had it before has it no more
	case r.state != stateRegistered: // then it is the registrant's DUID
		e.Duid, e.Iaid = r.duid, r.iaid
	}
	if at, ends := r.runsOut(); e.Reason == ingestv1.Reason_REASON_EXPIRED && r.valid > 0 && ends && at <= now.Unix() {
		e.AgeMs = now.UnixMilli() - at*1000
	}
	return w.sink.Change(ctx, &ingestv1.Change{Change: &ingestv1.Change_End{End: e}})
}

// reasonOf is why a row's lease ended.
func reasonOf(r *row) ingestv1.Reason {
	switch r.state {
	case stateDeclined:
		return ingestv1.Reason_REASON_DECLINED
	case stateReclaimed:
		return ingestv1.Reason_REASON_EXPIRED
	case stateReleased:
		return ingestv1.Reason_REASON_RELEASED
	}
	return ingestv1.Reason_REASON_DELETED
}

// links states links.
func (w *writer) links(ctx context.Context, links []link) error {
	for i := range links {
		c := &ingestv1.Change{Change: &ingestv1.Change_DefineLink{DefineLink: linkMessage(&links[i])}}
		if err := w.sink.Change(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// linkMessage is a link as the cluster is told of it.
func linkMessage(from *link) *ingestv1.Link {
	l := &ingestv1.Link{Label: from.Label, Names: from.Names}
	for _, prefix := range from.Prefixes {
		l.Prefixes = append(l.Prefixes, prefix.String())
	}
	for _, a := range from.Relays {
		l.Relays = append(l.Relays, a.String())
	}
	return l
}

// badLine is told of a line of the lease file.
func (s *Server) badLine(e *LineError) {
	if !e.Kept {
		s.ledger.add(func(t *ServerTotals) { t.Refused++ })
	}
}

// badRecord is told of a lease in JSON.
func (s *Server) badRecord(e *RecordError) {
	s.ledger.add(func(t *ServerTotals) { t.Refused++ })
	s.logBad(e)
}
