package requestor

import (
	"encoding/binary"
	"hash/maphash"
	"iter"
	"net/netip"
)

// words is what c says of each of its bindings, at base.
func (c *Client) words(base uint32) iter.Seq2[place, word] {
	return func(yield func(place, word) bool) {
		for _, a := range c.Addresses {
			if !yield(c.word(base, netip.PrefixFrom(a.Address, 128), false, a.Preferred, a.Valid)) {
				return
			}
		}
		for _, p := range c.Prefixes {
			if !yield(c.word(base, p.Prefix, true, p.Preferred, p.Valid)) {
				return
			}
		}
	}
}

// word is what c says of one binding, at base. One whose valid lifetime is 0 has ended.
func (c *Client) word(base uint32, p netip.Prefix, delegated bool, preferred, valid uint32) (place, word) {
	return placeOf(p, delegated), word{
		duid: string(c.DUID), valid: until(base, valid), preferred: untilPreferred(base, preferred),
		last: int64(base) - int64(c.LastTransaction), base: base, ended: valid == 0,
	}
}

// until is when a lifetime that counts from base ends.
func until(base, lifetime uint32) int64 {
	if lifetime == infinite {
		return Forever
	}
	return int64(base) + int64(lifetime)
}

// untilPreferred is the same for a preferred lifetime, which goes on being told as 0 when it has ended: 0 then.
func untilPreferred(base, lifetime uint32) int64 {
	if lifetime == 0 {
		return 0
	}
	return until(base, lifetime)
}

// about is a hash of what is said of the client beside its bindings and times: its options and its relay chain.
func (c *Client) about(seed maphash.Seed) uint64 {
	if len(c.Options) == 0 && !c.HasRelay {
		return 0
	}
	var h maphash.Hash
	h.SetSeed(seed)
	// A maphash takes everything; it has errors only to be an io.Writer.
	add := func(o Option) {
		var head [6]byte
		binary.BigEndian.PutUint16(head[:], uint16(o.Code))
		binary.BigEndian.PutUint32(head[2:], uint32(len(o.Data)))
		_, _ = h.Write(head[:])
		_, _ = h.Write(o.Data)
	}
	for _, o := range c.Options {
		add(o)
	}
	addAddress := func(a netip.Addr) {
		b := a.As16()
		_, _ = h.Write(b[:])
	}
	if c.HasRelay {
		addAddress(c.Relay.Peer)
	}
	for _, l := range c.Relay.Levels {
		_ = h.WriteByte(l.HopCount)
		addAddress(l.Link)
		addAddress(l.Peer)
		for _, o := range l.Options {
			add(o)
		}
	}
	return h.Sum64()
}
