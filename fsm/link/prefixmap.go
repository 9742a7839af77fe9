package link

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
)

// prefixMap maps prefixes to values and finds the longest prefix that holds an address. It is a trie over a hash of the prefix:
// a longest match asks for each length that is there, longest first, and tables have few lengths. A copy of it is a snapshot,
// provided that the epoch given to set and remove then grows: a node of an earlier epoch is copied before it changes.
//
// Persistent tries over the address itself were measured first: one of 256 children a node copies hundreds of leaves when one
// of a dense block of /64 changes.
type prefixMap[V any] struct {
	root   *node[V]
	longer []uint8      // the lengths that are there, longest first; never changed in place
	counts *[129]uint32 // prefixes by length; the writer's
}

// prefixKey is a prefix whose bits behind its length are zero.
type prefixKey struct {
	hi, lo uint64
	bits   uint8
}

// node has either kids, by four bits of the hash, or items.
type node[V any] struct {
	epoch uint64
	kids  *[fanout]*node[V]
	items []item[V]
}

type item[V any] struct {
	key   prefixKey
	value V
}

const (
	fanout     = 16
	fanoutBits = 4
	maxDepth   = 64/fanoutBits - 1 // nodes there have as many items as come
)

func newPrefixMap[V any]() prefixMap[V] { return prefixMap[V]{counts: new([129]uint32)} }

func keyOf(p netip.Prefix) prefixKey { return addrKey(p.Addr(), uint8(p.Bits())) }

func addrKey(a netip.Addr, length uint8) prefixKey {
	b := a.As16()
	k := prefixKey{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), length}
	return k.cut(length)
}

// cut is the key of the prefix of that length which holds k.
func (k prefixKey) cut(length uint8) prefixKey {
	if length <= 64 {
		return prefixKey{k.hi &^ (^uint64(0) >> length), 0, length}
	}
	return prefixKey{k.hi, k.lo &^ (^uint64(0) >> (length - 64)), length}
}

func (k prefixKey) prefix() netip.Prefix {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.hi)
	binary.BigEndian.PutUint64(b[8:], k.lo)
	return netip.PrefixFrom(netip.AddrFrom16(b), int(k.bits))
}

func (k prefixKey) hash() uint64 {
	const a, b, c = 0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f, 0x165667b19e3779f9
	hi, lo := bits.Mul64(k.hi^a, b^k.lo*c)
	h := (hi ^ lo ^ uint64(k.bits)) * a
	return h ^ h>>32
}

// get is the value of exactly this prefix.
func (m *prefixMap[V]) get(k prefixKey) (v V, ok bool) {
	h := k.hash()
	n := m.root
	for n != nil && n.kids != nil {
		n = n.kids[h>>(64-fanoutBits)]
		h <<= fanoutBits
	}
	if n != nil {
		for i := range n.items {
			if n.items[i].key == k {
				return n.items[i].value, true
			}
		}
	}
	return v, false
}

// longest is the longest prefix that holds all of k, with its value.
func (m *prefixMap[V]) longest(k prefixKey) (found prefixKey, v V, ok bool) {
	for _, length := range m.longer {
		if length > k.bits {
			continue
		}
		found = k.cut(length)
		if v, ok = m.get(found); ok {
			return found, v, true
		}
	}
	return prefixKey{}, v, false
}

// set gives the prefix a value.
func (m *prefixMap[V]) set(k prefixKey, v V, epoch uint64) {
	var added bool
	m.root, added = m.root.set(k, k.hash(), v, epoch, 0)
	if !added {
		return
	}
	if m.counts[k.bits]++; m.counts[k.bits] == 1 {
		at, _ := slices.BinarySearchFunc(m.longer, k.bits, longestFirst)
		m.longer = slices.Insert(slices.Clone(m.longer), at, k.bits)
	}
}

// remove takes the prefix out.
func (m *prefixMap[V]) remove(k prefixKey, epoch uint64) {
	if _, ok := m.get(k); !ok {
		return
	}
	m.root = m.root.remove(k, k.hash(), epoch)
	if m.counts[k.bits]--; m.counts[k.bits] == 0 {
		at, _ := slices.BinarySearchFunc(m.longer, k.bits, longestFirst)
		m.longer = slices.Delete(slices.Clone(m.longer), at, at+1)
	}
}

func longestFirst(a, b uint8) int { return int(b) - int(a) }

// own is n, or a copy of it that may be changed.
func (n *node[V]) own(epoch uint64) *node[V] {
	if n.epoch == epoch {
		return n
	}
	c := &node[V]{epoch: epoch, items: slices.Clone(n.items)}
	if n.kids != nil {
		kids := *n.kids
		c.kids = &kids
	}
	return c
}

// set is the node that stands in n's place when the key has the value; h begins with the bits that decide below n.
func (n *node[V]) set(k prefixKey, h uint64, v V, epoch uint64, depth int) (_ *node[V], added bool) {
	if n == nil {
		return &node[V]{epoch: epoch, items: []item[V]{{k, v}}}, true
	}
	n = n.own(epoch)
	if n.kids != nil {
		i := h >> (64 - fanoutBits)
		n.kids[i], added = n.kids[i].set(k, h<<fanoutBits, v, epoch, depth+1)
		return n, added
	}
	for i := range n.items {
		if n.items[i].key == k {
			n.items[i].value = v
			return n, false
		}
	}
	n.items = append(n.items, item[V]{k, v})
	if len(n.items) > fanout && depth < maxDepth {
		n.kids = new([fanout]*node[V])
		for _, it := range n.items {
			below := it.key.hash() << (fanoutBits * depth)
			i := below >> (64 - fanoutBits)
			n.kids[i], _ = n.kids[i].set(it.key, below<<fanoutBits, it.value, epoch, depth+1)
		}
		n.items = nil
	}
	return n, true
}

// remove is the node that stands in n's place when the key, which is below, is gone; nil if nothing is left.
func (n *node[V]) remove(k prefixKey, h uint64, epoch uint64) *node[V] {
	n = n.own(epoch)
	if n.kids == nil {
		n.items = slices.DeleteFunc(n.items, func(it item[V]) bool { return it.key == k })
		if len(n.items) == 0 {
			return nil
		}
		return n
	}
	i := h >> (64 - fanoutBits)
	n.kids[i] = n.kids[i].remove(k, h<<fanoutBits, epoch)
	for _, kid := range n.kids {
		if kid != nil {
			return n
		}
	}
	return nil
}
