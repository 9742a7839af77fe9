package fsm

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// cursor takes octets apart. After the first failure everything it reads is zero.
type cursor struct {
	rest   []byte
	whole  int
	failed string // what could not be read
	at     int    // where
}

func newCursor(b []byte) cursor { return cursor{rest: b, whole: len(b)} }

// err is an error that wraps ErrCorrupt and says what could not be read and where, or nil. Octets left over are one, too.
func (c *cursor) err() error {
	switch {
	case c.failed != "":
		return fmt.Errorf("%w: %s at offset %d", ErrCorrupt, c.failed, c.at)
	case len(c.rest) > 0:
		return fmt.Errorf("%w: %d octets too many", ErrCorrupt, len(c.rest))
	}
	return nil
}

func (c *cursor) fail(what string) {
	if c.failed == "" {
		c.failed, c.at = what, c.whole-len(c.rest)
	}
	c.rest = nil
}

// take is the next n octets, which alias the source; nil after a failure.
func (c *cursor) take(n int, what string) []byte {
	if n > len(c.rest) {
		c.fail(what)
		return nil
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) octet(what string) byte {
	if len(c.rest) == 0 {
		c.fail(what)
		return 0
	}
	b := c.rest[0]
	c.rest = c.rest[1:]
	return b
}

func (c *cursor) uint64(what string) uint64 {
	if b := c.take(8, what); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (c *cursor) uvarint(what string) uint64 {
	v, n := binary.Uvarint(c.rest)
	if n <= 0 {
		c.fail(what)
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

func (c *cursor) varint(what string) int64 {
	v := c.uvarint(what)
	return int64(v>>1) ^ -int64(v&1)
}

// octets is a string behind its length, which is a varint and at most limit.
func (c *cursor) octets(limit int, what string) []byte {
	n := c.uvarint(what)
	if n > uint64(limit) {
		c.fail(what)
		return nil
	}
	return c.take(int(n), what)
}

// count is the length of a list of at most limit items, each at least one octet long: never more than octets are left.
func (c *cursor) count(limit int, what string) int {
	n := c.uvarint(what)
	if n > uint64(min(limit, len(c.rest))) {
		c.fail(what)
		return 0
	}
	return int(n)
}

// prefix is a length octet and as many octets of the address as it has significant ones.
func (c *cursor) prefix(what string) netip.Prefix {
	bits := int(c.octet(what))
	if bits > 128 {
		c.fail(what)
		return netip.Prefix{}
	}
	var a [16]byte
	copy(a[:], c.take((bits+7)/8, what))
	return netip.PrefixFrom(netip.AddrFrom16(a), bits)
}

func appendPrefix(dst []byte, p netip.Prefix) []byte {
	a := p.Addr().As16()
	dst = append(dst, byte(p.Bits()))
	return append(dst, a[:(p.Bits()+7)/8]...)
}

func appendText[T ~string | ~[]byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
