package store

import (
	"encoding/binary"
	"net/netip"

	"github.com/leasehold/leasehold/fsm/binding"
)

// census counts, for bindings in force, what decides the link of a binding: which links the bindings of one relay's
// link-address are on, those of one block of addresses, and those of one name that a source has for a link. With it a changed
// link definition finds the few links whose bindings may have to move, and a query the links of a link-address.
//
// The counts are the writer's. That a link-address or a block of addresses has bindings on a link is also a record without
// entries in the tree of places, which views see: at the upper half of the address, under a DUID of spot octets.
type census struct {
	spots map[spot]uint32
	names map[string][]nameUse // by number of the source, two octets, and name
	key   []byte

	changes uint64 // of which links the bindings of a relay's link-address are on
}

// spot is an address, or block of addresses, that has bindings on a link.
type spot struct {
	octets  [16]byte
	link    binding.LinkID
	relayed bool // a relay's link-address; else the block that an unrelayed address or prefix begins in
}

type nameUse struct {
	link  binding.LinkID
	count uint32
}

// blockBits is the length of the blocks under which unrelayed bindings are counted: the upper half of an address and less, so
// that a block's records lie together in the tree of places.
const blockBits = 48

func newCensus() census {
	return census{spots: map[spot]uint32{}, names: map[string][]nameUse{}}
}

func spotOf(link binding.LinkID, e *entry) (p spot) {
	p.link = link
	if len(e.chain) == 0 {
		copy(p.octets[:blockBits/8], e.octets[:])
		return p
	}
	if a, ok := binding.Chain(e.chain).LinkAddress(); ok {
		p.octets, p.relayed = a.As16(), true
		return p
	}
	copy(p.octets[:blockBits/8], e.octets[:])
	return p
}

// A spot's record is at the upper half of its address, with the rest of it as DUID: how it is meant, lower half, link.
const spotOctets = 1 + 8 + 4

func (p *spot) key() (lh uint64, duid [spotOctets]byte) {
	if p.relayed {
		duid[0] = 1
	}
	copy(duid[1:], p.octets[8:])
	binary.BigEndian.PutUint32(duid[9:], uint32(p.link))
	return binary.BigEndian.Uint64(p.octets[:]), duid
}

func spotFrom(lh uint64, duid []byte) (p spot) {
	binary.BigEndian.PutUint64(p.octets[:], lh)
	copy(p.octets[8:], duid[1:9])
	p.relayed = duid[0] == 1
	p.link = binding.LinkID(binary.BigEndian.Uint32(duid[9:]))
	return p
}

func (c *census) nameKey(e *entry) []byte {
	c.key = append(append(c.key[:0], byte(e.source>>8), byte(e.source)), e.name...)
	return c.key
}

// add counts a binding in force on a link.
func (c *census) add(places *tree, link binding.LinkID, e *entry) {
	p := spotOf(link, e)
	n := c.spots[p]
	c.spots[p] = n + 1
	if n == 0 {
		c.mark(places, &p)
	}
	if len(e.name) == 0 {
		return
	}
	key := c.nameKey(e)
	uses := c.names[string(key)]
	for i := range uses {
		if uses[i].link == link {
			uses[i].count++
			return
		}
	}
	c.names[string(key)] = append(uses, nameUse{link, 1})
}

// drop counts it no more.
func (c *census) drop(places *tree, link binding.LinkID, e *entry) {
	p := spotOf(link, e)
	if c.spots[p]--; c.spots[p] == 0 {
		delete(c.spots, p)
		c.unmark(places, &p)
	}
	if len(e.name) == 0 {
		return
	}
	key := c.nameKey(e)
	uses := c.names[string(key)]
	for i := range uses {
		if uses[i].link != link {
			continue
		}
		if uses[i].count--; uses[i].count == 0 {
			uses[i] = uses[len(uses)-1]
			uses = uses[:len(uses)-1]
			c.names[string(key)] = uses
		}
		break
	}
	if len(uses) == 0 {
		delete(c.names, string(key))
	}
}

// note counts a change that SelectLinks may show.
func (c *census) note(s *spot) {
	if s.relayed {
		c.changes++
	}
}

func (c *census) mark(places *tree, s *spot) {
	c.note(s)
	lh, duid := s.key()
	var enc encoder
	rec, _ := enc.encode(duid[:], nil)
	var p path
	places.seek(&p, &key{place: lh, duid: duid[:]})
	places.insert(&p, lh, rec)
}

func (c *census) unmark(places *tree, s *spot) {
	c.note(s)
	lh, duid := s.key()
	var p path
	if places.seek(&p, &key{place: lh, duid: duid[:]}) && p.settle() {
		places.remove(&p)
	}
}

// linksIn adds to links those of bindings whose place is decided by an address in the prefix.
func linksIn(links map[binding.LinkID]struct{}, root *inner, height int, within netip.Prefix) {
	from := within
	if from.Bits() > blockBits {
		from, _ = within.Addr().Prefix(blockBits)
	}
	first := from.Masked().Addr().As16()
	var p path
	if !p.seek(root, height, &key{place: binary.BigEndian.Uint64(first[:])}) {
		return
	}
	for ok := p.settle(); ok; ok = p.next() {
		s := spotFrom(p.place(), p.record().duid())
		a := netip.AddrFrom16(s.octets)
		if !from.Contains(a) {
			return // behind it
		}
		if within.Contains(a) || !s.relayed && from.Contains(a) {
			links[s.link] = struct{}{}
		}
	}
}
