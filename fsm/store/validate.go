package store

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/leasehold/leasehold/fsm/binding"
)

// validate tells why octets from outside may not be used as a record: an error that wraps ErrSnapshot, or nil.
func (r record) validate(sources int) error {
	if len(r) < recordHead || int(r[4]) == 0 || int(r[4]) > binding.MaxDUID || len(r) < recordHead+int(r[4]) {
		return fmt.Errorf("%w: record of %d octets without a duid", ErrSnapshot, len(r))
	}
	first, off := int(binary.LittleEndian.Uint16(r)), recordHead+int(r[4])
	for i := range int(r[5]) {
		if len(r) < off+2 || len(r) < off+2+int(binary.LittleEndian.Uint16(r[off:])) {
			return fmt.Errorf("%w: octet string %d of a record is cut short", ErrSnapshot, i+1)
		}
		off += 2 + int(binary.LittleEndian.Uint16(r[off:]))
	}
	if first != off || r.entries() == 0 {
		return fmt.Errorf("%w: record with %d entries from offset %d, want %d", ErrSnapshot, r.entries(), first, off)
	}
	var last order
	for i := range r.entries() {
		n, err := r.validateEntry(off, sources)
		if err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		o := packed(r[off:]).order()
		if i > 0 && last.compare(&o) >= 0 {
			return fmt.Errorf("%w: entry %d of a record is out of order", ErrSnapshot, i)
		}
		last = o
		off += n
	}
	if off != len(r) {
		return fmt.Errorf("%w: record with %d octets behind its entries", ErrSnapshot, len(r)-off)
	}
	return nil
}

// validateEntry checks the entry at an offset and returns its size.
func (r record) validateEntry(off, sources int) (int, error) {
	if len(r)-off < entryHead {
		return 0, fmt.Errorf("%w: cut short", ErrSnapshot)
	}
	p := packed(r[off:])
	if p.bits() > 128 || len(p) < p.size() {
		return 0, fmt.Errorf("%w: length %d, cut short", ErrSnapshot, p.bits())
	}
	prefix := netip.PrefixFrom(netip.AddrFrom16(p.octets()), int(p.bits()))
	switch {
	case p[0]>>6 != 0 || p.own() && p.state() == binding.Active || p.kind() > binding.PD || p.kind() != binding.PD && p.bits() != 128 || prefix != prefix.Masked():
		return 0, fmt.Errorf("%w: kind %d of %v", ErrSnapshot, p[0], prefix)
	case p.source() == 0 || int(p.source()) > sources:
		return 0, fmt.Errorf("%w: source %d of %d", ErrSnapshot, p.source(), sources)
	case p.state() != binding.Active && p.mark() == 0:
		return 0, fmt.Errorf("%w: end without mark", ErrSnapshot)
	case p[2] > r[5] || p[3] > r[5] || p[4] > r[5]:
		return 0, fmt.Errorf("%w: octet string %d, %d or %d of %d", ErrSnapshot, p[2], p[3], p[4], r[5])
	}
	if err := binding.Chain(r.text(p[2])).Validate(); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	return p.size(), nil
}
