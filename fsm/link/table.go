package link

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
)

// Table is the table of links and of the sources' definitions of them. It is for one goroutine.
type Table struct {
	links   Links  // the newest state; what a snapshot shares is copied before it changes
	taken   *Links // the snapshot of the newest state, until the next change
	epoch   uint64 // counts snapshots: a chunk of an earlier epoch is shared with one
	sharing bool   // whether the list of chunks is shared with a snapshot

	configured claims // prefixes of links that a source defines
	others     claims // prefixes of all other links

	changes uint64 // counts changes of what readers see of a link

	records tally                          // by link number: client records on the link
	numbers numbers                        // link numbers in use
	sets    map[string]binding.LinkID      // links of several prefixes, by identity
	sources map[string]*source             // by name
	defined map[binding.LinkID][]reference // the definitions of each configured link, by source and label
}

// New is an empty table.
func New() *Table {
	t := &Table{
		sets:    map[string]binding.LinkID{},
		sources: map[string]*source{},
		defined: map[binding.LinkID][]reference{},
	}
	t.numbers.mark(0) // there is no link 0
	t.configured = newClaims(&t.links.configured)
	t.others = newClaims(&t.links.others)
	t.links.relays = newPrefixMap[relayLinks]()
	return t
}

// Snapshot is the table as it is now. It is cheap: what it shares with the table is copied only where the table changes later.
func (t *Table) Snapshot() *Links {
	if t.taken == nil {
		links := t.links
		t.taken = &links
		t.epoch++
		t.sharing = true
	}
	return t.taken
}

// Changes counts the links that came, changed or went. It is of this table alone: a table that is read begins at any number.
func (t *Table) Changes() uint64 { return t.changes }

// Len is how many links there are.
func (t *Table) Len() int { return t.links.n }

// Acquire notes that a client record came to the link.
func (t *Table) Acquire(id binding.LinkID) { *t.records.at(id)++ }

// Release notes that a client record left the link. A link without records and without a definition goes away.
func (t *Table) Release(id binding.LinkID) {
	n := t.records.at(id)
	if *n == 0 {
		panic(fmt.Sprintf("link %d released more often than acquired", id))
	}
	*n--
	t.drop(id)
}

// drop takes the link out of the table if nothing needs it.
func (t *Table) drop(id binding.LinkID) {
	r := t.links.record(id)
	if *t.records.at(id) > 0 || r.configured() {
		return
	}
	for p := range r.prefixes {
		t.yield(&t.others, p, id)
	}
	if r.set != nil {
		delete(t.sets, string(r.set.identity))
	}
	t.setRecord(id, record{})
	t.numbers.release(id)
}

// setRecord writes what readers see of a link; an empty record takes the link away.
func (t *Table) setRecord(id binding.LinkID, r record) {
	t.taken = nil
	t.changes++
	at, i := int(id)/chunkLinks, int(id)%chunkLinks
	if t.sharing {
		t.links.chunks, t.sharing = slices.Clone(t.links.chunks), false
	}
	for at >= len(t.links.chunks) {
		t.links.chunks = append(t.links.chunks, nil)
	}
	c := t.links.chunks[at]
	switch {
	case c == nil:
		c = &chunk{epoch: t.epoch}
	case c.epoch != t.epoch:
		c = &chunk{epoch: t.epoch, records: c.records}
	}
	t.links.chunks[at] = c
	if c.records[i].used() {
		t.links.n--
	}
	if r.used() {
		t.links.n++
	}
	c.records[i] = r
}

// compare orders links by their canonical prefix sets.
func (l *Links) compare(a, b binding.LinkID) int {
	var x, y [octetsOfPrefix]byte
	return bytes.Compare(l.appendIdentity(x[:0], a), l.appendIdentity(y[:0], b))
}

// octetsOfPrefix is how many octets a prefix has in an identity: 16 of address, one of length.
const octetsOfPrefix = 17

func appendPrefix(dst []byte, p netip.Prefix) []byte {
	a := p.Addr().As16()
	return append(append(dst, a[:]...), byte(p.Bits()))
}
