package link

import (
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
)

// ErrCorrupt is wrapped by every error about octets that are no link table.
var ErrCorrupt = errors.New("corrupt link table")

// maxLink is the highest number of a link that is believed.
const maxLink = 1 << 26

// tableVersion is the version of the binary form:
//
//	version, 1 octet
//	number of links, then for each, by number:
//	  number, records, number of prefixes, then 16 octets and a length octet each
//	number of sources, then for each, by name: name, number of definitions, then for each, by label:
//	  label, link's number, stated (0 or 1), names, relay addresses of 16 octets
//
// Numbers are unsigned varints; strings and lists begin with their length.
const tableVersion = 1

// AppendBinary appends the table. The same table always gives the same octets.
func (t *Table) AppendBinary(dst []byte) []byte {
	dst = append(dst, tableVersion)
	links := t.Snapshot()
	dst = binary.AppendUvarint(dst, uint64(len(t.byIdentity)))
	for id := range links.All() {
		i := t.infos.get(int(id))
		dst = binary.AppendUvarint(dst, uint64(id))
		dst = binary.AppendUvarint(dst, t.records[id])
		dst = binary.AppendUvarint(dst, uint64(len(i.prefixes)))
		dst = append(dst, i.identity...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(t.sources)))
	for _, name := range slices.Sorted(maps.Keys(t.sources)) {
		s := t.sources[name]
		dst = binary.AppendUvarint(appendString(dst, name), uint64(len(s.definitions)))
		for _, label := range slices.Sorted(maps.Keys(s.definitions)) {
			dst = appendDefinition(appendString(dst, label), s.definitions[label])
		}
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendDefinition(dst []byte, d *definition) []byte {
	dst = binary.AppendUvarint(dst, uint64(d.id))
	stated := byte(0)
	if d.stated {
		stated = 1
	}
	dst = binary.AppendUvarint(append(dst, stated), uint64(len(d.names)))
	for _, n := range d.names {
		dst = appendString(dst, n)
	}
	dst = binary.AppendUvarint(dst, uint64(len(d.relays)))
	for _, a := range d.relays {
		b := a.As16()
		dst = append(dst, b[:]...)
	}
	return dst
}

// ParseTable reads what AppendBinary wrote, the counts of records included. The error wraps ErrCorrupt.
func ParseTable(b []byte) (*Table, error) {
	d := decoder{b: b}
	t := New()
	t.defined.owned, t.madeUp.owned = true, true
	if v := d.octet(); d.err == nil && v != tableVersion {
		return nil, fmt.Errorf("%w: version %d, want %d", ErrCorrupt, v, tableVersion)
	}
	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		d.link(t)
	}
	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		d.source(t)
	}
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d octets too many", len(d.b))
	}
	if d.err != nil {
		return nil, d.err
	}
	for id := binding.LinkID(1); id < t.next; id++ {
		switch i := t.infos.get(int(id)); {
		case i == nil:
			heap.Push(&t.free, id)
		case len(i.labels) == 0 && t.records[id] == 0:
			return nil, fmt.Errorf("%w: link %d has neither records nor definitions", ErrCorrupt, id)
		}
	}
	return t, nil
}

// decoder reads a table; after the first error it reads nothing more.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
	}
	d.b = nil
}

func (d *decoder) octet() byte { return d.take(1)[0] }

// take is the next n octets; zeros after an error.
func (d *decoder) take(n int) []byte {
	if n > len(d.b) {
		d.fail("cut short")
		return make([]byte, min(n, 17))
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("bad number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

// text is a string; the octets must be there before any are copied.
func (d *decoder) text() string {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail("string of %d octets cut short", n)
		return ""
	}
	return string(d.take(int(n)))
}

func (d *decoder) link(t *Table) {
	id, records, n := d.uvarint(), d.uvarint(), d.uvarint()
	if id < uint64(t.next) || id > maxLink || n == 0 || n > uint64(len(d.b)/17) {
		d.fail("link %d with %d prefixes behind link %d", id, n, t.next-1)
		return
	}
	var prefixes []netip.Prefix
	for range n {
		p := netip.PrefixFrom(netip.AddrFrom16([16]byte(d.take(16))), int(d.octet()))
		if !p.IsValid() || p != p.Masked() || (len(prefixes) > 0 && comparePrefix(prefixes[len(prefixes)-1], p) >= 0) {
			d.fail("link %d: prefix %v", id, p)
			return
		}
		prefixes = append(prefixes, p)
	}
	identity := identify(prefixes)
	if _, dup := t.byIdentity[identity]; dup {
		d.fail("link %d: its prefixes are another's", id)
		return
	}
	t.next = binding.LinkID(id) + 1
	t.place(binding.LinkID(id), &info{identity: identity, prefixes: prefixes}, records)
}

func (d *decoder) source(t *Table) {
	name := d.text()
	if t.sources[name] != nil {
		d.fail("source %q twice", name)
	}
	n := d.uvarint()
	s := &source{definitions: map[string]*definition{}, names: map[string][]string{}}
	t.sources[name] = s
	for ; n > 0 && d.err == nil; n-- {
		d.definition(t, s, name)
	}
}

func (d *decoder) definition(t *Table, s *source, name string) {
	label, id, stated := d.text(), d.uvarint(), d.octet()
	x := &definition{id: binding.LinkID(id), stated: stated == 1}
	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		x.names = append(x.names, d.text())
	}
	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		x.relays = append(x.relays, netip.AddrFrom16([16]byte(d.take(16))))
	}
	if d.err != nil {
		return
	}
	if id == 0 || id >= uint64(t.next) || t.infos.get(int(id)) == nil || s.definitions[label] != nil {
		d.fail("definition %q of source %q: link %d", label, name, id)
		return
	}
	x.prefixes = t.infos.get(int(id)).prefixes
	t.adopt(s, name, label, x)
}
