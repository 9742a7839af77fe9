package store

import (
	"encoding/binary"
	"net/netip"

	"github.com/cespare/xxhash/v2"
	"github.com/leasehold/leasehold/fsm/binding"
)

// hasher maps octets to the 32 bits that the indexes keep of them. Equal hashes of different things are resolved by looking
// at the records, so any function will do; tests use one of few values.
type hasher struct {
	values uint32 // how many different values there are; 0 is all
}

func (h hasher) of(b []byte) uint32 {
	x := xxhash.Sum64(b)
	sum := uint32(x ^ x>>32)
	if h.values > 0 {
		return sum % h.values
	}
	return sum
}

// address is a binding's key in the form in which records hold it: the octets, the length, and which name space it is in.
type address struct {
	octets    [16]byte
	bits      uint8
	delegated bool
}

func addressOf(k binding.Key) address {
	return address{octets: k.Prefix.Addr().As16(), bits: uint8(k.Prefix.Bits()), delegated: k.Delegated}
}

func (a *address) prefix() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16(a.octets), int(a.bits))
}

// hash is the hash under which the address index keeps a.
func (a *address) hash(h hasher) uint32 {
	var b [18]byte
	copy(b[:], a.octets[:])
	b[16] = a.bits
	if a.delegated {
		b[17] = 1
	}
	return h.of(b[:])
}

// place is a client's position in the tree: link above, hash of its DUID below.
func place(link binding.LinkID, duidHash uint32) uint64 { return uint64(link)<<32 | uint64(duidHash) }

func placeLink(lh uint64) binding.LinkID { return binding.LinkID(lh >> 32) }

// put48 and get48 hold a time in six octets, signed: ±4,400 years around 1970 in milliseconds.
func put48(b []byte, t binding.Time) {
	binary.LittleEndian.PutUint32(b, uint32(t))
	binary.LittleEndian.PutUint16(b[4:], uint16(t>>32))
}

func get48(b []byte) binding.Time {
	return binding.Time(binary.LittleEndian.Uint32(b)) | binding.Time(int16(binary.LittleEndian.Uint16(b[4:])))<<32
}

// clamp48 brings a time into the range of put48.
func clamp48(t binding.Time) binding.Time {
	return max(-1<<47, min(1<<47-1, t))
}
