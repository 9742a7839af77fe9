package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/leasehold/leasehold/fsm/binding"
)

// ErrCorrupt is wrapped by every error about octets that are no table of links.
var ErrCorrupt = errors.New("corrupt table of links")

// The binary form of a table. Numbers are unsigned varints; a text is its length and its octets; lists begin with their length.
//
//	version       1 octet, 1
//	links         a list, by number:
//	  number      the link's number minus that of the link before it
//	  records     client records on the link
//	  prefixes    a list, sorted: 16 octets of address, 1 of length
//	sources       a list, by name:
//	  name        text
//	  definitions a list, by label:
//	    label     text
//	    link      number
//	    stated    1 octet: whether it was stated since the source's newest BeginSweep
//	    names     a list of texts, sorted
//	    relays    a list of 16 octets, sorted
const tableVersion = 1

// AppendBinary appends the binary form of the table. Equal tables have equal octets.
func (t *Table) AppendBinary(dst []byte) []byte {
	dst = slices.Grow(dst, t.links.n*(octetsOfPrefix+6)) // nearly all links of a large table have one prefix
	dst = append(dst, tableVersion)
	dst = binary.AppendUvarint(dst, uint64(t.links.n))
	before := binding.LinkID(0)
	for id := range t.links.All() {
		dst = binary.AppendUvarint(dst, uint64(id-before))
		dst = binary.AppendUvarint(dst, uint64(*t.records.at(id)))
		dst = binary.AppendUvarint(dst, uint64(t.links.record(id).count()))
		dst = t.links.appendIdentity(dst, id)
		before = id
	}
	dst = binary.AppendUvarint(dst, uint64(len(t.sources)))
	for _, name := range slices.Sorted(maps.Keys(t.sources)) {
		s := t.sources[name]
		dst = appendText(dst, name)
		dst = binary.AppendUvarint(dst, uint64(len(s.definitions)))
		for _, label := range slices.Sorted(maps.Keys(s.definitions)) {
			dst = s.definitions[label].appendBinary(dst)
		}
	}
	return dst
}

func (d *definition) appendBinary(dst []byte) []byte {
	dst = binary.AppendUvarint(appendText(dst, d.label), uint64(d.link))
	stated := byte(0)
	if d.stated {
		stated = 1
	}
	dst = binary.AppendUvarint(append(dst, stated), uint64(len(d.names)))
	for _, n := range d.names {
		dst = appendText(dst, n)
	}
	dst = binary.AppendUvarint(dst, uint64(len(d.relays)))
	for _, a := range d.relays {
		b := a.As16()
		dst = append(dst, b[:]...)
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// ParseTable reads what AppendBinary wrote, counts of records included. It allocates in proportion to b. An error wraps
// ErrCorrupt and names the link or source.
func ParseTable(b []byte) (*Table, error) {
	r := reader{rest: b, whole: len(b)}
	t := New()
	if v := r.octet(); r.err == nil && v != tableVersion {
		r.fail("version %d, want %d", v, tableVersion)
	}
	id := binding.LinkID(0)
	for n := r.count(2 + octetsOfPrefix); n > 0 && r.err == nil; n-- {
		id = r.link(t, id)
	}
	before := ""
	for n := r.count(2); n > 0 && r.err == nil; n-- {
		name := r.text()
		if name <= before {
			r.fail("source %q after %q", name, before)
		}
		before = name
		r.definitions(t, name)
	}
	if len(r.rest) > 0 {
		r.fail("%d octets too many", len(r.rest))
	}
	if r.err != nil {
		return nil, r.err
	}
	return t, nil
}

// link reads one link, which comes behind the link numbered before, and is its number.
func (r *reader) link(t *Table, before binding.LinkID) binding.LinkID {
	step, records := r.uvarint(), r.uvarint()
	prefixes := make([]netip.Prefix, r.count(octetsOfPrefix))
	for i := range prefixes {
		p := netip.PrefixFrom(r.addr(), int(r.octet()))
		if r.err == nil && (p != p.Masked() || i > 0 && comparePrefixes(prefixes[i-1], p) >= 0) {
			r.fail("link %d: prefix %v", uint64(before)+step, p)
		}
		prefixes[i] = p
	}
	switch {
	case r.err != nil:
		return before
	case step == 0 || step > maxLink-uint64(before) || records > 1<<32-1 || len(prefixes) == 0:
		r.fail("link %d with %d records and %d prefixes, after link %d", uint64(before)+step, records, len(prefixes), before)
		return before
	}
	id := before + binding.LinkID(step)
	if _, taken := t.lookup(prefixes); taken {
		r.fail("link %d: another has the same prefixes", id)
		return id
	}
	t.numbers.mark(id)
	t.add(id, prefixes)
	*t.records.at(id) = uint32(records)
	return id
}

// definitions reads what one source defines.
func (r *reader) definitions(t *Table, name string) {
	before := ""
	for n := r.count(5); n > 0 && r.err == nil; n-- {
		d := &definition{label: r.text(), link: binding.LinkID(min(r.uvarint(), maxLink+1)), stated: r.octet() == 1}
		d.names = make([]string, r.count(1))
		for i := range d.names {
			d.names[i] = r.text()
		}
		d.relays = make([]netip.Addr, r.count(16))
		for i := range d.relays {
			d.relays[i] = r.addr()
		}
		switch {
		case r.err != nil:
			return
		case d.label <= before || !t.links.record(d.link).used():
			r.fail("source %q: definition %q of link %d, after %q", name, d.label, d.link, before)
			return
		}
		before = d.label
		d.names = canonical(d.names, strings.Compare)
		d.relays = canonical(d.relays, netip.Addr.Compare)
		t.replace(name, nil, d)
	}
}

// reader takes a table's octets apart. After the first error everything it reads is zero.
type reader struct {
	rest  []byte
	whole int
	err   error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: offset %d: %s", ErrCorrupt, r.whole-len(r.rest), fmt.Sprintf(format, args...))
	}
	r.rest = nil
}

// take is the next n octets; nil after an error.
func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.fail("%d octets of %d", len(r.rest), n)
	}
	if r.err != nil {
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) octet() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) addr() netip.Addr {
	if b := r.take(16); b != nil {
		return netip.AddrFrom16([16]byte(b))
	}
	return netip.IPv6Unspecified()
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail("bad number")
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// count is the length of a list whose items have at least size octets: no more than there are octets left for.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.rest)/size) {
		r.fail("a list of %d in %d octets", n, len(r.rest))
		return 0
	}
	return int(n)
}

func (r *reader) text() string { return string(r.take(r.uvarint())) }
