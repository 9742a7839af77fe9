package binding

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// Options iterates over DHCPv6 options (RFC 8415 21.1: code, length, value) without allocating; it stops where they break off.
func Options(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= 4 {
			n := int(binary.BigEndian.Uint16(b[2:]))
			if len(b) < 4+n || !yield(binary.BigEndian.Uint16(b), b[4:4+n]) {
				return
			}
			b = b[4+n:]
		}
	}
}

// validateOptions tells where b is not a whole number of options.
func validateOptions(b []byte) error {
	for off := 0; off < len(b); {
		if len(b)-off < 4 {
			return fmt.Errorf("%w: option header cut short at offset %d", ErrInvalid, off)
		}
		n := int(binary.BigEndian.Uint16(b[off+2:]))
		if len(b)-off-4 < n {
			return fmt.Errorf("%w: option %d at offset %d has %d octets of %d", ErrInvalid,
				binary.BigEndian.Uint16(b[off:]), off, len(b)-off-4, n)
		}
		off += 4 + n
	}
	return nil
}
