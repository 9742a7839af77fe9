package link

import (
	"container/heap"
	"net/netip"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
)

// Table is the link table. It has one writer and takes no locks; readers use a Links that Snapshot made. Use New.
type Table struct {
	infos      pages
	records    []uint64 // by number: client records on the link
	byIdentity map[string]binding.LinkID
	free       numbers        // numbers below next that no link has
	next       binding.LinkID // above every number ever given
	defined    holders        // prefixes of links with a definition
	madeUp     holders        // prefixes of links without
	relays     map[netip.Addr][]binding.LinkID
	sources    map[string]*source

	snapshot     *Links // of the state now; nil when something changed since
	relaysShared bool   // whether a snapshot has the map of relays
}

// info is what readers know of a link. It never changes: a change makes a new one.
type info struct {
	identity string
	prefixes []netip.Prefix
	relays   []netip.Addr // sorted
	labels   []labelled   // its definitions, sorted
}

// New is an empty table.
func New() *Table {
	return &Table{byIdentity: map[string]binding.LinkID{}, next: 1, defined: newHolders(), madeUp: newHolders(),
		relays: map[netip.Addr][]binding.LinkID{}, sources: map[string]*source{}}
}

// identify is the canonical form of a set of prefixes: 17 octets each, sorted.
func identify(prefixes []netip.Prefix) string {
	b := make([]byte, 0, 17*len(prefixes))
	for _, p := range prefixes {
		a := p.Addr().As16()
		b = append(append(b, a[:]...), byte(p.Bits()))
	}
	return string(b)
}

// canonical sorts a set of prefixes and drops duplicates; the argument is not changed.
func canonical(prefixes []netip.Prefix) []netip.Prefix {
	out := slices.Clone(prefixes)
	slices.SortFunc(out, comparePrefix)
	return slices.Compact(out)
}

func comparePrefix(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

// number is the number of the link with these canonical prefixes, which is made if there is none.
func (t *Table) number(prefixes []netip.Prefix) binding.LinkID {
	identity := identify(prefixes)
	if id, ok := t.byIdentity[identity]; ok {
		return id
	}
	id := t.next
	if len(t.free) > 0 {
		id = heap.Pop(&t.free).(binding.LinkID)
	} else {
		t.next++
	}
	t.place(id, &info{identity: identity, prefixes: prefixes}, 0)
	return id
}

// place gives a new link its number.
func (t *Table) place(id binding.LinkID, i *info, records uint64) {
	t.byIdentity[i.identity] = id
	t.set(id, i)
	for int(id) >= len(t.records) {
		t.records = append(t.records, 0)
	}
	t.records[id] = records
	t.holdersOf(i).add(id, i)
}

// set changes what readers will know of a link.
func (t *Table) set(id binding.LinkID, i *info) {
	t.infos.set(int(id), i)
	t.snapshot = nil
}

// holdersOf is where the link's prefixes are looked up.
func (t *Table) holdersOf(i *info) *holders {
	if len(i.labels) > 0 {
		return &t.defined
	}
	return &t.madeUp
}

// Acquire notes that a client record came to the link, which must exist.
func (t *Table) Acquire(id binding.LinkID) { t.records[id]++ }

// Release notes that a client record left the link. A link without records and definitions goes away, and its number may be
// given again.
func (t *Table) Release(id binding.LinkID) {
	t.records[id]--
	t.drop(id)
}

// drop forgets the link if nothing needs it.
func (t *Table) drop(id binding.LinkID) {
	i := t.infos.get(int(id))
	if i == nil || t.records[id] > 0 || len(i.labels) > 0 {
		return
	}
	t.madeUp.remove(id, i)
	delete(t.byIdentity, i.identity)
	t.set(id, nil)
	heap.Push(&t.free, id)
}

// numbers is a heap of link numbers, the lowest first.
type numbers []binding.LinkID

func (n numbers) Len() int           { return len(n) }
func (n numbers) Less(i, j int) bool { return n[i] < n[j] }
func (n numbers) Swap(i, j int)      { n[i], n[j] = n[j], n[i] }
func (n *numbers) Push(x any)        { *n = append(*n, x.(binding.LinkID)) }
func (n *numbers) Pop() any {
	old := *n
	x := old[len(old)-1]
	*n = old[:len(old)-1]
	return x
}
