package link

import (
	"iter"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"github.com/leasehold/leasehold/fsm/binding"
)

// Links is the link table as it was at one moment. It never changes, and any number of goroutines may read it.
type Links struct {
	infos   pages
	defined *bart.Table[holder]
	madeUp  *bart.Table[holder]
	relays  map[netip.Addr][]binding.LinkID
}

// Snapshot is the table as it is now. It costs little, and nothing if nothing changed since the last one.
func (t *Table) Snapshot() *Links {
	if t.snapshot != nil {
		return t.snapshot
	}
	t.relaysShared = true
	t.defined.owned, t.madeUp.owned = false, false
	t.snapshot = &Links{infos: t.infos.share(), defined: t.defined.table, madeUp: t.madeUp.table, relays: t.relays}
	return t.snapshot
}

// Select appends to dst, sorted and each once, the links that list the address as relay address, and the one that holds it.
func (l *Links) Select(dst []binding.LinkID, a netip.Addr) []binding.LinkID {
	from := len(dst)
	dst = append(dst, l.relays[a]...)
	if id, ok := l.Holding(a); ok {
		dst = append(dst, id)
	}
	slices.Sort(dst[from:])
	return dst[:from+len(slices.Compact(dst[from:]))]
}

// Holding is the link whose prefix holds the address by longest match; a defined one if there is one.
func (l *Links) Holding(a netip.Addr) (binding.LinkID, bool) {
	h, ok := l.defined.Lookup(a)
	if !ok {
		h, ok = l.madeUp.Lookup(a)
	}
	return h.id, ok
}

// Representative is the link's representative address: the lowest in its prefixes that no other link's longer prefix holds, or
// just the lowest where others hold them all. The zero Addr for an unknown link.
func (l *Links) Representative(id binding.LinkID) netip.Addr {
	i := l.infos.get(int(id))
	if i == nil {
		return netip.Addr{}
	}
	table := l.defined
	if len(i.labels) == 0 {
		table = l.madeUp
	}
	for _, p := range i.prefixes {
		if a, ok := lowestFree(table, p, id); ok {
			return a
		}
	}
	return i.prefixes[0].Addr()
}

// lowestFree is the lowest address in p that no longer prefix of another link in the table holds.
func lowestFree(table *bart.Table[holder], p netip.Prefix, id binding.LinkID) (netip.Addr, bool) {
	for a := p.Addr(); a.IsValid() && p.Contains(a); {
		q, h, ok := table.LookupPrefixLPM(netip.PrefixFrom(a, 128))
		if !ok || h.id == id || q.Bits() <= p.Bits() {
			return a, true
		}
		a = last(q).Next()
	}
	return netip.Addr{}, false
}

// last is the highest address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().As16()
	for i := p.Bits(); i < 128; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom16(b)
}

// Prefixes is the link's prefixes, sorted; nil for an unknown link. The caller must not change them.
func (l *Links) Prefixes(id binding.LinkID) []netip.Prefix {
	if i := l.infos.get(int(id)); i != nil {
		return i.prefixes
	}
	return nil
}

// Relays is the relay addresses that the link's definitions list, sorted. The caller must not change them.
func (l *Links) Relays(id binding.LinkID) []netip.Addr {
	if i := l.infos.get(int(id)); i != nil {
		return i.relays
	}
	return nil
}

// Labels is "source/label" of each definition of the link, sorted; none for a link made up.
func (l *Links) Labels(id binding.LinkID) []string {
	i := l.infos.get(int(id))
	if i == nil {
		return nil
	}
	var out []string
	for _, d := range i.labels {
		out = append(out, d.source+"/"+d.label)
	}
	return out
}

// Identity is the canonical form of the link's prefixes: 16 octets of address and one of length each. Nil for an unknown link.
func (l *Links) Identity(id binding.LinkID) []byte {
	if i := l.infos.get(int(id)); i != nil {
		return []byte(i.identity)
	}
	return nil
}

// All iterates over the links by number.
func (l *Links) All() iter.Seq[binding.LinkID] {
	return func(yield func(binding.LinkID) bool) {
		for n, p := range l.infos.pages {
			for i, x := range p.infos {
				if x != nil && !yield(binding.LinkID(n*pageSize+i)) {
					return
				}
			}
		}
	}
}
