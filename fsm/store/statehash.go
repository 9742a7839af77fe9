package store

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
)

// Hash is a hash over the bindings in force, the links they are on, the sources that own them and the definitions of links.
// It does not depend on the order in which the news came, on numbers, or on history: two states with the same hash give the
// same answers, up to their order. It reads every record.
func (v *View) Hash() [32]byte {
	var sum [4]uint64
	var buf []byte
	h := sha256.New()
	add := func(b []byte) {
		h.Reset()
		h.Write(b)
		var d [32]byte
		h.Sum(d[:0])
		var carry uint64
		for i := range sum {
			sum[i], carry = bits.Add64(sum[i], binary.LittleEndian.Uint64(d[8*i:]), carry)
		}
	}
	var p path
	if p.seek(v.clients.root, v.clients.height, &key{}) {
		for ok := p.settle(); ok; ok = p.next() {
			r := p.record()
			for e := range r.all {
				if e.state() == binding.Active {
					buf = v.appendHashed(buf[:0], placeLink(p.place()), r, e)
					add(buf)
				}
			}
		}
	}
	for id := range v.links.All() {
		if labels := v.links.Labels(id); len(labels) > 0 {
			buf = v.appendLink(append(buf[:0], 'L'), id)
			for _, l := range labels {
				buf = appendOctets(buf, []byte(l))
			}
			for _, a := range v.links.Relays(id) {
				buf = appendOctets(buf, a.AsSlice())
			}
			add(buf)
		}
	}
	var out [32]byte
	for i, w := range sum {
		binary.LittleEndian.PutUint64(out[8*i:], w)
	}
	return out
}

func (v *View) appendLink(dst []byte, id binding.LinkID) []byte {
	return appendOctets(dst, v.links.Identity(id))
}

// appendHashed appends what the hash covers of a binding.
func (v *View) appendHashed(dst []byte, id binding.LinkID, r record, p packed) []byte {
	e := r.unpack(p)
	dst = v.appendLink(append(dst, 'B'), id)
	dst = appendOctets(dst, r.duid())
	dst = append(append(dst, uint8(e.kind), e.bits), e.octets[:]...)
	for _, n := range []uint32{e.iaid, e.preferred, e.valid, e.stamp} {
		dst = binary.LittleEndian.AppendUint32(dst, n)
	}
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.lt))
	for _, t := range [][]byte{[]byte(v.SourceName(e.source)), e.chain, e.name, e.options} {
		dst = appendOctets(dst, t)
	}
	return dst
}

// appendOctets appends b behind its length, so that what is hashed has one reading.
func appendOctets(dst, b []byte) []byte {
	dst = slices.Grow(dst, 4+len(b))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(b)))
	return append(dst, b...)
}
