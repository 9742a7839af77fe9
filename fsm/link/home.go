package link

import (
	"net/netip"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
)

// Facts is what decides the link of a binding.
type Facts struct {
	Source      string         // the source that reports the binding
	Name        []byte         // the source's name for the link; empty when it has none
	LinkAddress netip.Addr     // the relay chain's LinkAddress (RFC 8415 13.1); the zero Addr for none
	Prefix      netip.Prefix   // the address, as /128, or the delegated prefix
	Delegated   bool           // whether Prefix is a delegated prefix
	Anchor      binding.LinkID // of an unrelayed delegated prefix: the link of its client's lowest unrelayed address lease from the same source; 0 for none
}

// Home is the link that a binding belongs on, and is made up when there is none. By the first that applies:
//
//	the source has a link of this name    that link
//	it came through a link-address        the configured link that holds it by longest match,
//	                                      else the configured link that lists it as relay address,
//	                                      else a link made of its /64
//	it is a delegated prefix              its anchor, else the configured link that holds the prefix, else a link made of it
//	it is an address                      the configured link that holds it, else a link made of its /64
//
// A link that was made up has no records yet: the caller must Acquire it, and Release it if it was not wanted.
func (t *Table) Home(f Facts) binding.LinkID {
	if len(f.Name) > 0 {
		if s := t.sources[f.Source]; s != nil {
			if ds := s.names[string(f.Name)]; len(ds) > 0 {
				return ds[0].link
			}
		}
	}
	if f.LinkAddress.IsValid() {
		return t.linkOfRelay(f.LinkAddress, f.Prefix)
	}
	made := f.Prefix
	if f.Delegated {
		if f.Anchor != 0 {
			return f.Anchor
		}
	} else {
		made = prefix64(f.Prefix.Addr())
	}
	if _, id, ok := t.links.configured.longest(keyOf(f.Prefix)); ok {
		return id
	}
	return t.madeUp(made)
}

// linkOfRelay is the link that a relay's link-address stands for, for a binding of the given prefix.
func (t *Table) linkOfRelay(a netip.Addr, p netip.Prefix) binding.LinkID {
	if _, id, ok := t.links.configured.longest(addrKey(a, 128)); ok {
		return id
	}
	listing, _ := t.links.relays.get(addrKey(a, 128))
	if len(listing) == 0 {
		return t.madeUp(prefix64(a))
	}
	// Of several that list it, the one whose prefix holds the binding is sure to be meant.
	k := keyOf(p)
	for _, length := range t.links.configured.longer {
		if length > k.bits {
			continue
		}
		for _, id := range t.configured.claimants(k.cut(length)) {
			if _, lists := slices.BinarySearchFunc(listing, id, t.links.compare); lists {
				return id
			}
		}
	}
	return listing[0]
}

// madeUp is the link whose only prefix is p, made if it is not there.
func (t *Table) madeUp(p netip.Prefix) binding.LinkID {
	id, ok := t.single(p)
	if !ok {
		id = t.numbers.take()
		t.setRecord(id, record{prefix: p})
		t.claim(&t.others, p, id)
	}
	return id
}

// single is the link whose only prefix is p.
func (t *Table) single(p netip.Prefix) (binding.LinkID, bool) {
	for _, x := range []*claims{&t.others, &t.configured} {
		for _, id := range x.claimants(keyOf(p)) {
			if t.links.record(id).count() == 1 {
				return id, true
			}
		}
	}
	return 0, false
}

func prefix64(a netip.Addr) netip.Prefix {
	return netip.PrefixFrom(a, 64).Masked()
}
