package store

import (
	"bytes"
	"sync"

	"github.com/leasehold/leasehold/fsm/binding"
)

// disputes is what sources have said that lost against other sources, beside the store: it decides nothing, is in no snapshot, and
// begins empty. The writer alone changes it, with the mutex held; it may look at rows without.
type disputes struct {
	mu      sync.Mutex
	limit   int // rows
	rows    map[disputeKey]*dispute
	order   []disputeKey // of rows, the oldest first; some may be gone
	total   [binding.EndedKind + 1]uint64
	dropped uint64
	since   binding.Time // from when on it has everything; 0: from the beginning
}

// maxDisputes bounds the table: about a megabyte.
const maxDisputes = 4096

// disputeKey names a row: what a source last said of an address without effect.
type disputeKey struct {
	address address
	source  uint16
}

// dispute is what a source said without effect, and what was known.
type dispute struct {
	lost, won claim
	gen       uint8 // the resync of the source in which it said so
	kind      binding.ConflictKind
	first     binding.Time
	last      binding.Time
}

// claim is what a source says of an address.
type claim struct {
	source uint16
	kind   binding.Kind
	state  binding.State
	duid   []byte
	iaid   uint32
	valid  uint32
	lt     binding.Time
}

func claimOf(duid []byte, e *entry) claim {
	return claim{e.source, e.kind, e.state, duid, e.iaid, e.valid, e.told()}
}

// expiry is when the claim's lease has run out.
func (c *claim) expiry() binding.Time {
	if at, ends := binding.Expiry(c.valid, c.lt); ends {
		return at
	}
	return never
}

// lifetimeSlack is by how much a lease may outlast another, in milliseconds, without the two being in conflict.
const lifetimeSlack = 60_000

// disagrees tells how the lease that lost differs from what won; ok is false when it does not.
func (c *claim) disagrees(won *claim) (kind binding.ConflictKind, ok bool) {
	switch {
	case won.state != binding.Active:
		return binding.EndedKind, true
	case c.iaid != won.iaid || c.kind != won.kind || !bytes.Equal(c.duid, won.duid):
		return binding.ClientKind, true
	case c.expiry()-lifetimeSlack > won.expiry():
		return binding.LifetimeKind, true
	}
	return 0, false
}

// dispute notes that the lease lost had no effect, or no longer has, against what is known.
func (s *Store) dispute(lostDUID []byte, lost *entry, wonDUID []byte, won *entry) {
	x, y := claimOf(lostDUID, lost), claimOf(wonDUID, won)
	kind, ok := x.disagrees(&y)
	if !ok || x.source == y.source || x.expiry() <= s.clock {
		s.settled(lost.source, lost.address())
		return
	}
	x.duid, y.duid = bytes.Clone(x.duid), bytes.Clone(y.duid)
	s.disputes.add(disputeKey{lost.address(), lost.source}, dispute{lost: x, won: y, gen: lost.gen, kind: kind, first: s.clock, last: s.clock})
}

// settled forgets what the source said of the address without effect: it has said something else since.
func (s *Store) settled(source uint16, a address) {
	d := &s.disputes
	if len(d.rows) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.rows, disputeKey{a, source})
}

func (d *disputes) add(k disputeKey, row dispute) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old := d.rows[k]; old != nil {
		if old.kind != row.kind {
			d.total[row.kind]++
		}
		row.first = old.first
		*old = row
		return
	}
	if d.rows == nil {
		d.rows = map[disputeKey]*dispute{}
	}
	d.total[row.kind]++
	for len(d.rows) >= d.limit {
		oldest := d.order[0]
		d.order = d.order[1:]
		if d.rows[oldest] != nil {
			delete(d.rows, oldest)
			d.dropped++
		}
	}
	d.rows[k] = &row
	d.order = append(d.order, k)
	if len(d.order) > 2*d.limit {
		d.compact()
	}
}

// follow makes d, of a restored store, take the place of another: it has what is said from the clock on.
func (d *disputes) follow(old *disputes, clock binding.Time) {
	old.mu.Lock()
	defer old.mu.Unlock()
	d.total, d.dropped, d.limit, d.since = old.total, old.dropped, old.limit, clock
}

// compact forgets the places of rows that are gone.
func (d *disputes) compact() {
	seen := make(map[disputeKey]bool, len(d.rows))
	kept := make([]disputeKey, 0, 2*d.limit)
	for _, k := range d.order {
		if d.rows[k] != nil && !seen[k] {
			seen[k] = true
			kept = append(kept, k)
		}
	}
	d.order = kept
}
