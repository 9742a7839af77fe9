package store

import (
	"bytes"
	"net/netip"

	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
)

// The world of the tests is small, so that everything meets everything.
var (
	worldDUIDs     = []string{"a", "bb", "bbb", "d-four"}
	worldAddresses = []string{"2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:2::1", "2001:db8:a:1::1", "2001:db8:a:1::2", "fd00::1"}
	worldPrefixes  = []string{"2001:db8:a::/48", "2001:db8:a:1::/64", "2001:db8:a:100::/56", "2001:db8:b::/47", "2001:db8:a:1:8000::/65"}
	worldLinks     = []string{"2001:db8:0:1::/64", "2001:db8::/32", "2001:db8:a::/48", "2001:db8:b::/48", "fd00::/8", "2001:db8:0:1::/80"}
	worldRelays    = []string{"2001:db8:0:1::ffff", "2001:db8:a:1::ffff", "2001:db8:ffff::1", "fe80::1"}
	worldNames     = []string{"", "1", "2", "three"}
	worldSources   = []string{"kea-a", "kea-b", "kea-c"}
	worldIDs       = []string{"relay-one", "relay-two", "\x00\x00\x00\x09port 7"}
)

func drawChain(t *rapid.T) binding.Chain {
	n := rapid.SampledFrom([]int{0, 0, 1, 1, 2}).Draw(t, "hops")
	var levels []binding.Level
	for range n {
		l := binding.Level{Link: netip.MustParseAddr(rapid.SampledFrom(worldRelays).Draw(t, "link-address")), Peer: netip.MustParseAddr("fe80::2")}
		for _, code := range []byte{53, 37} {
			if id := rapid.SampledFrom(append(worldIDs, "")).Draw(t, "id"); id != "" {
				l.Options = append(append(l.Options, 0, code, 0, byte(len(id))), id...)
			}
		}
		levels = append(levels, l)
	}
	return binding.AppendChain(nil, netip.Addr{}, levels)
}

func drawKey(t *rapid.T) (k binding.Kind, p netip.Prefix) {
	k = rapid.SampledFrom([]binding.Kind{binding.NA, binding.NA, binding.NA, binding.TA, binding.PD, binding.PD}).Draw(t, "kind")
	if k == binding.PD {
		return k, netip.MustParsePrefix(rapid.SampledFrom(worldPrefixes).Draw(t, "prefix")).Masked()
	}
	return k, netip.PrefixFrom(netip.MustParseAddr(rapid.SampledFrom(worldAddresses).Draw(t, "address")), 128)
}

func drawLink(t *rapid.T) *binding.Link {
	l := &binding.Link{Label: rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "label")}
	for _, p := range rapid.SliceOfNDistinct(rapid.SampledFrom(worldLinks), 1, 2, rapid.ID).Draw(t, "prefixes") {
		l.Prefixes = append(l.Prefixes, netip.MustParsePrefix(p))
	}
	l.Names = rapid.SliceOfNDistinct(rapid.SampledFrom(worldNames[1:]), 0, 2, rapid.ID).Draw(t, "names")
	if rapid.Bool().Draw(t, "relays") {
		l.Relays = []netip.Addr{netip.MustParseAddr(rapid.SampledFrom(worldRelays[:3]).Draw(t, "relay"))}
	}
	return l
}

func drawChange(t *rapid.T, clock binding.Time) binding.Change {
	event := rapid.SampledFrom([]binding.Event{binding.Upsert, binding.Upsert, binding.Upsert, binding.Upsert, binding.Upsert,
		binding.End, binding.End, binding.DefineLink, binding.RemoveLink}).Draw(t, "event")
	if event > binding.End {
		return binding.Change{Event: event, Link: drawLink(t)}
	}
	c := binding.Change{Event: event}
	b := &c.Binding
	b.Kind, b.Prefix = drawKey(t)
	b.DUID = []byte(rapid.SampledFrom(worldDUIDs).Draw(t, "duid"))
	b.IAID = rapid.Uint32Range(1, 8).Draw(t, "iaid") / 8
	b.LastTransaction = clock - binding.Time(rapid.IntRange(0, 3).Draw(t, "age"))*1000
	if event == binding.End {
		c.Reason = rapid.SampledFrom([]binding.State{binding.Released, binding.Declined, binding.Expired, binding.Deleted}).Draw(t, "reason")
		if rapid.IntRange(0, 5).Draw(t, "anonymous") == 0 {
			b.DUID = nil
		}
		return c
	}
	b.Valid = rapid.SampledFrom([]uint32{1, 20, 1000, binding.Infinity}).Draw(t, "valid")
	b.Preferred = b.Valid / 2
	b.Stamp = uint32(b.LastTransaction/1000) % 4
	b.LinkName = []byte(rapid.SampledFrom(worldNames).Draw(t, "name"))
	b.Chain = drawChain(t)
	if n := rapid.SampledFrom([]int{0, 0, 1, 700, 4000}).Draw(t, "options"); n > 0 {
		b.Options = append([]byte{0, 39, byte(n >> 8), byte(n)}, bytes.Repeat([]byte{7}, n)...)
	}
	return c
}

// worldKeys is every key that a binding of the world can have.
func worldKeys() (keys []binding.Key) {
	for _, a := range worldAddresses {
		keys = append(keys, binding.Key{Prefix: netip.PrefixFrom(netip.MustParseAddr(a), 128)})
	}
	for _, p := range worldPrefixes {
		keys = append(keys, binding.Key{Prefix: netip.MustParsePrefix(p).Masked(), Delegated: true})
	}
	return keys
}

func worldPrefix(p string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(p)} }
