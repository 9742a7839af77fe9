package link

import (
	"iter"
	"net/netip"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
)

// Links is the table of links at one moment. It never changes and may be read from any goroutine.
type Links struct {
	chunks     []*chunk                  // what is known of each link, by number
	n          int                       // links in use
	configured prefixMap[binding.LinkID] // by prefix: the configured link that holds it
	others     prefixMap[binding.LinkID] // by prefix: the link that holds it, among those that no source defines
	relays     prefixMap[relayLinks]     // by relay address: the configured links that list it
}

// relayLinks is the links that list one relay address, by canonical prefix set. It is never changed in place.
type relayLinks []binding.LinkID

const chunkLinks = 128

// chunk holds the links of consecutive numbers. It is changed in place only in the epoch in which it was made.
type chunk struct {
	epoch   uint64
	records [chunkLinks]record
}

// record is one link. Most links of a large table are made up: of one prefix, and nothing else.
type record struct {
	prefix netip.Prefix // its first prefix
	set    *set         // nil for a link of one prefix that no source defines
}

// set is what a link has beside its first prefix. It never changes.
type set struct {
	identity []byte
	prefixes []netip.Prefix
	relays   []netip.Addr
	labels   []string
}

func (r *record) used() bool { return r.prefix.IsValid() }

func (r *record) configured() bool { return r.set != nil && len(r.set.labels) > 0 }

// count is how many prefixes the link has.
func (r *record) count() int {
	switch {
	case r.set != nil:
		return len(r.set.prefixes)
	case r.used():
		return 1
	}
	return 0
}

// prefixes iterates over the link's prefixes in order.
func (r *record) prefixes(yield func(netip.Prefix) bool) {
	if r.set == nil {
		yield(r.prefix)
		return
	}
	for _, p := range r.set.prefixes {
		if !yield(p) {
			return
		}
	}
}

var noRecord record

// record is what is known of the link; an empty record for an unknown one.
func (l *Links) record(id binding.LinkID) *record {
	at := int(id) / chunkLinks
	if at >= len(l.chunks) || l.chunks[at] == nil {
		return &noRecord
	}
	return &l.chunks[at].records[int(id)%chunkLinks]
}

// Len is how many links there are.
func (l *Links) Len() int { return l.n }

// All iterates over the links in the order of their numbers.
func (l *Links) All() iter.Seq[binding.LinkID] {
	return func(yield func(binding.LinkID) bool) {
		for at, c := range l.chunks {
			if c == nil {
				continue
			}
			for i := range c.records {
				if c.records[i].used() && !yield(binding.LinkID(at*chunkLinks+i)) {
					return
				}
			}
		}
	}
}

// Select appends to dst, sorted and without duplicates, the links that a query's link-address selects: those that list it as a
// relay address, and the one that holds it.
func (l *Links) Select(dst []binding.LinkID, a netip.Addr) []binding.LinkID {
	if !a.Is6() {
		return dst
	}
	from := len(dst)
	if listing, ok := l.relays.get(addrKey(a, 128)); ok {
		dst = append(dst, listing...)
	}
	if id, ok := l.Holding(a); ok {
		dst = append(dst, id)
	}
	slices.Sort(dst[from:])
	return dst[:from+len(slices.Compact(dst[from:]))]
}

// Holding is the link that holds the address: the configured link with the longest prefix, else, among the others, the one with
// the longest. Where two have the same prefix it is the one with the lower canonical prefix set.
func (l *Links) Holding(a netip.Addr) (binding.LinkID, bool) {
	_, id, ok := l.holder(a)
	return id, ok
}

// Prefixes is the link's prefixes, sorted by address and length; nil for an unknown link. The caller must not change them.
func (l *Links) Prefixes(id binding.LinkID) []netip.Prefix {
	r := l.record(id)
	switch {
	case !r.used():
		return nil
	case r.set == nil:
		return []netip.Prefix{r.prefix}
	}
	return r.set.prefixes
}

// Relays is the addresses that relays on the link use as link-address, sorted. The caller must not change them.
func (l *Links) Relays(id binding.LinkID) []netip.Addr {
	if r := l.record(id); r.set != nil {
		return r.set.relays
	}
	return nil
}

// Labels is what sources call the link, as "source/label", sorted; none for a link that no source defines. The caller must not
// change them.
func (l *Links) Labels(id binding.LinkID) []string {
	if r := l.record(id); r.set != nil {
		return r.set.labels
	}
	return nil
}

// Configured tells whether a source defines the link.
func (l *Links) Configured(id binding.LinkID) bool { return l.record(id).configured() }

// Identity is the canonical octets of the link's prefix set: for each prefix, sorted, 16 octets of address and one of length.
// It is the same on every node, whatever the link's number. The caller must not change it.
func (l *Links) Identity(id binding.LinkID) []byte {
	if r := l.record(id); r.set != nil {
		return r.set.identity
	}
	return l.appendIdentity(nil, id)
}

func (l *Links) appendIdentity(dst []byte, id binding.LinkID) []byte {
	r := l.record(id)
	switch {
	case !r.used():
		return dst
	case r.set != nil:
		return append(dst, r.set.identity...)
	}
	return appendPrefix(dst, r.prefix)
}

// Representative is the lowest address in the link's prefixes that no other link's longer prefix holds, so that a query for it
// selects this link. A link whose prefixes are all held by others is represented by its lowest relay address, else by the
// lowest address of its first prefix. It is the zero Addr for an unknown link.
func (l *Links) Representative(id binding.LinkID) netip.Addr {
	r := l.record(id)
	if !r.used() {
		return netip.Addr{}
	}
	var lowest netip.Addr
	for p := range r.prefixes {
		if lowest.IsValid() && lowest.Compare(p.Addr()) <= 0 {
			break
		}
		if a := l.lowest(id, p); a.IsValid() && (!lowest.IsValid() || a.Less(lowest)) {
			lowest = a
		}
	}
	if lowest.IsValid() {
		return lowest
	}
	if r.set != nil && len(r.set.relays) > 0 {
		return r.set.relays[0]
	}
	return r.prefix.Addr()
}

// lowest is the lowest address that p, a prefix of the link, makes the link hold; the zero Addr for none.
func (l *Links) lowest(id binding.LinkID, p netip.Prefix) netip.Addr {
	for a := p.Addr(); p.Contains(a); {
		q, holder, _ := l.holder(a)
		switch {
		case holder == id:
			return a
		case int(q.bits) <= p.Bits():
			return netip.Addr{} // another link has all of p
		}
		a = after(q.prefix())
	}
	return netip.Addr{}
}

// holder is the link that holds the address, with the prefix by which it does.
func (l *Links) holder(a netip.Addr) (prefixKey, binding.LinkID, bool) {
	k := addrKey(a, 128)
	if p, id, ok := l.configured.longest(k); ok {
		return p, id, true
	}
	return l.others.longest(k)
}

// after is the address behind the last one of p; the zero Addr when there is none.
func after(p netip.Prefix) netip.Addr {
	b := p.Addr().As16()
	for i := range b {
		switch bits := p.Bits() - 8*i; {
		case bits <= 0:
			b[i] = 0xff
		case bits < 8:
			b[i] |= 0xff >> bits
		}
	}
	return netip.AddrFrom16(b).Next()
}
