package link

import (
	"bytes"
	"container/heap"
	"fmt"
	"net/netip"

	"github.com/gaissmai/bart"

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

	records []uint32                       // by link number: client records on the link
	free    numbers                        // link numbers below len(records) that are not in use
	sets    map[string]binding.LinkID      // links of several prefixes, by identity
	sources map[string]*source             // by name
	defined map[binding.LinkID][]reference // the definitions of each configured link, by source and label
}

// New is an empty table.
func New() *Table {
	t := &Table{
		records: make([]uint32, 1), // there is no link 0
		sets:    map[string]binding.LinkID{},
		sources: map[string]*source{},
		defined: map[binding.LinkID][]reference{},
	}
	t.configured = newClaims(&t.links.configured)
	t.others = newClaims(&t.links.others)
	t.links.relays = new(bart.Table[relayLinks])
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

// Len is how many links there are.
func (t *Table) Len() int { return t.links.n }

// Acquire notes that a client record came to the link.
func (t *Table) Acquire(id binding.LinkID) { t.records[id]++ }

// Release notes that a client record left the link. A link without records and without a definition goes away.
func (t *Table) Release(id binding.LinkID) {
	if t.records[id] == 0 {
		panic(fmt.Sprintf("link %d released more often than acquired", id))
	}
	t.records[id]--
	t.drop(id)
}

// drop takes the link out of the table if nothing needs it.
func (t *Table) drop(id binding.LinkID) {
	if t.records[id] > 0 || len(t.defined[id]) > 0 {
		return
	}
	r := t.links.record(id)
	for p := range r.prefixes {
		t.yield(&t.others, p, id)
	}
	if r.set != nil {
		delete(t.sets, string(r.set.identity))
	}
	t.setRecord(id, record{})
	heap.Push(&t.free, id)
}

// number takes the lowest free link number.
func (t *Table) number() binding.LinkID {
	if len(t.free) > 0 {
		return heap.Pop(&t.free).(binding.LinkID)
	}
	t.records = append(t.records, 0)
	return binding.LinkID(len(t.records) - 1)
}

// setRecord writes what readers see of a link; an empty record takes the link away.
func (t *Table) setRecord(id binding.LinkID, r record) {
	t.taken = nil
	at, i := int(id)/chunkLinks, int(id)%chunkLinks
	if t.sharing || at == len(t.links.chunks) {
		grown := make([]*chunk, max(at+1, len(t.links.chunks)), max(at+1, len(t.links.chunks))+1)
		copy(grown, t.links.chunks)
		t.links.chunks, t.sharing = grown, false
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
func (t *Table) compare(a, b binding.LinkID) int {
	return t.links.compare(a, b)
}

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

// numbers is a heap of free link numbers, lowest first: which number is next depends on the set alone.
type numbers []binding.LinkID

func (n numbers) Len() int           { return len(n) }
func (n numbers) Less(i, j int) bool { return n[i] < n[j] }
func (n numbers) Swap(i, j int)      { n[i], n[j] = n[j], n[i] }

// Push adds a number; heap.Push calls it.
func (n *numbers) Push(x any) { *n = append(*n, x.(binding.LinkID)) }

// Pop takes the last number; heap.Pop calls it.
func (n *numbers) Pop() any {
	last := (*n)[len(*n)-1]
	*n = (*n)[:len(*n)-1]
	return last
}
