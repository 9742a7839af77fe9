package store

import (
	"bytes"
	"encoding/binary"

	"github.com/leasehold/leasehold/fsm/binding"
)

// entry is one binding, or one end of a binding, taken apart. Its slices alias the record that it came from.
type entry struct {
	kind      binding.Kind
	state     binding.State
	bits      uint8
	gen       uint8 // the generation of its source's resync that last stated it
	octets    [16]byte
	source    uint16
	iaid      uint32
	preferred uint32
	valid     uint32
	stamp     uint32
	lt        binding.Time
	mark      uint64       // the change that made it as it is
	own       bool         // of an end that no source reported: lt is the client's last transaction
	until     binding.Time // of an end: kept at least until then, however short the history
	chain     []byte
	name      []byte
	options   []byte
}

// The encoding of an entry within a record:
//
//	 0 kind (2 bits), state (3 bits), own (1 bit)
//	 1 length of the prefix, 128 for an address
//	 2 chain, 3 name, 4 options: number of the octet string in the record, from 1; 0 for none
//	 5 generation
//	 6 source      2
//	 8 iaid        4
//	12 preferred   4
//	16 valid       4
//	20 stamp       4
//	24 time        6   last transaction; of an end that is not own, when it ended
//	30 mark        8
//	38 address     as many octets as the length has significant ones
//	   until       6   only of an end
const (
	entryHead  = 38
	entryUntil = 6

	packedOwn = 1 << 5
)

func addressOctets(bits uint8) int { return (int(bits) + 7) / 8 }

// A mark numbers a change: the closed time in milliseconds above, a count within the millisecond below. Marks grow in the
// order of the log, so that one number serves both the order and the time of changes.
func markTime(mark uint64) binding.Time { return binding.ChangeTime(mark) }

// ended tells whether the entry is an end.
func (e *entry) ended() bool { return e.state != binding.Active }

// told is when what the entry says was so, for news to be weighed against: the last transaction, or when it ended.
func (e *entry) told() binding.Time {
	if e.own {
		return markTime(e.mark)
	}
	return e.lt
}

// moved tells whether the entry is an exit: the binding goes on elsewhere.
func (e *entry) moved() bool { return e.state == binding.Moved }

func (e *entry) delegated() bool { return e.kind == binding.PD }

func (e *entry) address() address {
	return address{octets: e.octets, bits: e.bits, delegated: e.delegated()}
}

// due is when something must be done about an entry: a binding expires, an end is forgotten.
func (e *entry) due(history binding.Time) binding.Time {
	return dueOf(e.state, e.valid, e.lt, e.mark, e.until, history)
}

func dueOf(s binding.State, valid uint32, lt binding.Time, mark uint64, until, history binding.Time) binding.Time {
	if s != binding.Active {
		return max(markTime(mark)+history, until)
	}
	if at, ok := binding.Expiry(valid, lt); ok {
		return at
	}
	return never
}

// order is the place of an entry among those of its client: kind, address, length, live before ended, oldest end first.
type order struct {
	kind   binding.Kind
	octets [16]byte
	bits   uint8
	mark   uint64 // 0 of a binding in force
}

func (e *entry) order() order {
	o := order{kind: e.kind, octets: e.octets, bits: e.bits}
	if e.ended() {
		o.mark = e.mark
	}
	return o
}

func (o *order) compare(p *order) int {
	if o.kind != p.kind {
		return int(o.kind) - int(p.kind)
	}
	if c := bytes.Compare(o.octets[:], p.octets[:]); c != 0 {
		return c
	}
	if o.bits != p.bits {
		return int(o.bits) - int(p.bits)
	}
	switch {
	case o.mark < p.mark:
		return -1
	case o.mark > p.mark:
		return 1
	}
	return 0
}

// packed is an encoded entry: octets of a record from the entry's begin on.
type packed []byte

func (p packed) kind() binding.Kind   { return binding.Kind(p[0] & 3) }
func (p packed) state() binding.State { return binding.State(p[0] >> 2 & 7) }
func (p packed) own() bool            { return p[0]&packedOwn != 0 }
func (p packed) bits() uint8          { return p[1] }
func (p packed) gen() uint8           { return p[5] }
func (p packed) source() uint16       { return binary.LittleEndian.Uint16(p[6:]) }
func (p packed) iaid() uint32         { return binary.LittleEndian.Uint32(p[8:]) }
func (p packed) preferred() uint32    { return binary.LittleEndian.Uint32(p[12:]) }
func (p packed) valid() uint32        { return binary.LittleEndian.Uint32(p[16:]) }
func (p packed) stamp() uint32        { return binary.LittleEndian.Uint32(p[20:]) }
func (p packed) lt() binding.Time     { return get48(p[24:]) }
func (p packed) mark() uint64         { return binary.LittleEndian.Uint64(p[30:]) }
func (p packed) setGen(g uint8)       { p[5] = g }

func (p packed) octets() (o [16]byte) {
	copy(o[:], p[entryHead:entryHead+addressOctets(p[1])])
	return o
}

func (p packed) until() binding.Time {
	if p.state() == binding.Active {
		return 0
	}
	return get48(p[entryHead+addressOctets(p[1]):])
}

// size is the number of octets of the entry.
func (p packed) size() int {
	n := entryHead + addressOctets(p[1])
	if p.state() != binding.Active {
		n += entryUntil
	}
	return n
}

func (p packed) due(history binding.Time) binding.Time {
	return dueOf(p.state(), p.valid(), p.lt(), p.mark(), p.until(), history)
}

func (p packed) order() order {
	o := order{kind: p.kind(), octets: p.octets(), bits: p.bits()}
	if p.state() != binding.Active {
		o.mark = p.mark()
	}
	return o
}

// holds tells whether the entry is about the address, in whatever state.
func (p packed) holds(a *address) bool {
	if p[1] != a.bits || (p.kind() == binding.PD) != a.delegated {
		return false
	}
	n := addressOctets(p[1])
	return bytes.Equal(p[entryHead:entryHead+n], a.octets[:n])
}

// renew overwrites what a renewal changes, in place.
func (p packed) renew(e *entry) {
	p[5] = e.gen
	binary.LittleEndian.PutUint16(p[6:], e.source)
	binary.LittleEndian.PutUint32(p[8:], e.iaid)
	binary.LittleEndian.PutUint32(p[12:], e.preferred)
	binary.LittleEndian.PutUint32(p[16:], e.valid)
	binary.LittleEndian.PutUint32(p[20:], e.stamp)
	put48(p[24:], e.lt)
	binary.LittleEndian.PutUint64(p[30:], e.mark)
}

// appendEntry appends the encoding of e, whose octet strings have the given numbers in its record.
func appendEntry(dst []byte, e *entry, chain, name, options uint8) []byte {
	var head [entryHead]byte
	head[0] = uint8(e.kind) | uint8(e.state)<<2
	if e.own {
		head[0] |= packedOwn
	}
	head[1] = e.bits
	head[2], head[3], head[4] = chain, name, options
	packed(head[:]).renew(e)
	dst = append(dst, head[:]...)
	dst = append(dst, e.octets[:addressOctets(e.bits)]...)
	if e.ended() {
		var u [entryUntil]byte
		put48(u[:], e.until)
		dst = append(dst, u[:]...)
	}
	return dst
}
