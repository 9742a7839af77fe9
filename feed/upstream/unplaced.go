package upstream

import (
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// unplaced is what was stated of delegated prefixes whose link nobody can know from what was told: those of clients that came unrelayed
// and have no address. A subscription to everything does not say on which link a client is (RFC 7653 has no option for it), but a query by
// link that finds it does. Nil keeps nothing.
type unplaced map[place]*ingestv1.Lease

// note keeps a lease that was stated without its link, or forgets an older one that has it now.
func (u unplaced) note(p place, e *entry, l *ingestv1.Lease) {
	if u == nil {
		return
	}
	if e.link == noLink && p.delegated && len(l.GetRelays()) == 0 {
		u[p] = proto.CloneOf(l)
		return
	}
	delete(u, p)
}

// found puts on its link what a query by link has found, if it was stated without. Nothing else of the answer counts: it may be older than
// what was stated. The error is a *sinkError.
func (t *teller) found(query int, c *requestor.Client) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	link := t.source.queries[query].link
	if link == noLink || len(t.unplaced) == 0 {
		return nil
	}
	m := t.describe(c, origin{query: query, link: link})
	for _, d := range c.Prefixes {
		if err := t.place(&m, placeOf(d.Prefix, true)); err != nil {
			return err
		}
	}
	return nil
}

// place states a binding anew that is on the link of the query that m answers.
func (t *teller) place(m *message, p place) error {
	l, e := t.unplaced[p], t.source.known.entries[p]
	if l == nil || e.client != m.client {
		return nil
	}
	delete(t.unplaced, p)
	e.link = int16(m.link)
	if err := t.put(p, e); err != nil {
		return err
	}
	l.LinkName, l.AgeMs = t.source.config.linkName(e.link), age(t.sink.Now(), m, e.last)
	return t.state(&ingestv1.Change{Change: &ingestv1.Change_Upsert{Upsert: l}})
}
