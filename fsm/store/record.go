package store

import (
	"bytes"
	"encoding/binary"

	"github.com/leasehold/leasehold/fsm/binding"
)

// record is a client on a link, or a stretch of one that has too many entries for a single record:
//
//	0 entries   2   offset of the first entry
//	2 count     2   number of entries
//	4 duid      1   octets of the DUID
//	5 strings   1   number of octet strings
//	6 DUID
//	  strings       each 2 octets of length, then the octets: chains, names and options, each once
//	  entries       in order
//
// The encoding of given entries is unique: strings come in the order of their first use.
type record []byte

const (
	recordHead = 6
	maxRecord  = 1400 // octets from which on a record with several entries is split
)

// key is a position in the tree: place, then DUID, then the order of a record's first entry.
type key struct {
	place uint64
	duid  []byte
	order *order // nil is before every entry
}

func (r record) entries() int { return int(binary.LittleEndian.Uint16(r[2:])) }
func (r record) duid() []byte { return r[recordHead : recordHead+int(r[4]) : recordHead+int(r[4])] }

// first is the record's octets from the first entry on.
func (r record) first() []byte { return r[binary.LittleEndian.Uint16(r):] }

func (r record) isOf(duid []byte) bool { return string(r.duid()) == string(duid) }

// compare puts the record before (-1), at (0) or behind (1) a key of the same place.
func (r record) compare(k *key) int {
	if c := bytes.Compare(r.duid(), k.duid); c != 0 {
		return c
	}
	if k.order == nil || r.entries() == 0 {
		return 0
	}
	o := packed(r.first()).order()
	return o.compare(k.order)
}

// text is the n-th octet string of the record, from 1; nil for 0.
func (r record) text(n uint8) []byte {
	if n == 0 {
		return nil
	}
	b := r[recordHead+int(r[4]):]
	for ; n > 1; n-- {
		b = b[2+int(binary.LittleEndian.Uint16(b)):]
	}
	size := int(binary.LittleEndian.Uint16(b))
	return b[2 : 2+size : 2+size]
}

// all iterates over the encoded entries.
func (r record) all(yield func(packed) bool) {
	b := r.first()
	for range r.entries() {
		p := packed(b)
		n := p.size()
		if !yield(p[:n:n]) {
			return
		}
		b = b[n:]
	}
}

// bounds is the earliest due and the newest change of the record's entries.
func (r record) bounds(history binding.Time) (due binding.Time, newest uint64) {
	due = never
	for p := range r.all {
		due, newest = min(due, p.due(history)), max(newest, p.mark())
	}
	return due, newest
}

// unpack takes an entry apart.
func (r record) unpack(p packed) entry {
	return entry{
		kind: p.kind(), state: p.state(), bits: p.bits(), gen: p.gen(), octets: p.octets(), source: p.source(), iaid: p.iaid(),
		preferred: p.preferred(), valid: p.valid(), stamp: p.stamp(), lt: p.lt(), mark: p.mark(), own: p.own(), until: p.until(),
		chain: r.text(p[2]), name: r.text(p[3]), options: r.text(p[4]),
	}
}

// appendEntries takes all entries apart and appends them to dst.
func (r record) appendEntries(dst []entry) []entry {
	for p := range r.all {
		dst = append(dst, r.unpack(p))
	}
	return dst
}

// encoder builds records. It is used again and again.
type encoder struct {
	buf   []byte
	body  []byte
	texts [][]byte
}

// maxTexts is how many octet strings a record can number.
const maxTexts = 255

// encode is the record of the entries, valid until the next call. ok is false if they need more octet strings than a record
// can number.
func (c *encoder) encode(duid []byte, entries []entry) (rec record, ok bool) {
	c.texts, c.body = c.texts[:0], c.body[:0]
	for i := range entries {
		e := &entries[i]
		chain, name, options := c.text(e.chain), c.text(e.name), c.text(e.options)
		if len(c.texts) > maxTexts {
			return nil, false
		}
		c.body = appendEntry(c.body, e, chain, name, options)
	}
	b := append(c.buf[:0], 0, 0, 0, 0, byte(len(duid)), byte(len(c.texts)))
	b = append(b, duid...)
	for _, t := range c.texts {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(t)))
		b = append(b, t...)
	}
	binary.LittleEndian.PutUint16(b, uint16(len(b)))
	binary.LittleEndian.PutUint16(b[2:], uint16(len(entries)))
	b = append(b, c.body...)
	c.buf = b
	return b, true
}

// text numbers an octet string.
func (c *encoder) text(t []byte) uint8 {
	if len(t) == 0 {
		return 0
	}
	for i := len(c.texts) - 1; i >= 0; i-- {
		if bytes.Equal(c.texts[i], t) {
			return uint8(i + 1)
		}
	}
	c.texts = append(c.texts, t)
	return uint8(len(c.texts))
}
