package link

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
)

// find is the link with exactly these prefixes, which are canonical; it is made if it is not there.
func (t *Table) find(prefixes []netip.Prefix) binding.LinkID {
	if id, ok := t.lookup(prefixes); ok {
		return id
	}
	id := t.numbers.take()
	t.add(id, prefixes)
	return id
}

// lookup is the link with exactly these prefixes, if there is one.
func (t *Table) lookup(prefixes []netip.Prefix) (binding.LinkID, bool) {
	if len(prefixes) == 1 {
		return t.single(prefixes[0])
	}
	id, ok := t.sets[string(identityOf(prefixes))]
	return id, ok
}

// add puts a link with these prefixes, which no source defines yet, into the table.
func (t *Table) add(id binding.LinkID, prefixes []netip.Prefix) {
	r := record{prefix: prefixes[0]}
	if len(prefixes) > 1 {
		r.set = &set{prefixes: prefixes, identity: identityOf(prefixes)}
		t.sets[string(r.set.identity)] = id
	}
	t.setRecord(id, r)
	for _, p := range prefixes {
		t.claim(&t.others, p, id)
	}
}

func identityOf(prefixes []netip.Prefix) []byte {
	b := make([]byte, 0, len(prefixes)*octetsOfPrefix)
	for _, p := range prefixes {
		b = appendPrefix(b, p)
	}
	return b
}

// describe writes anew what readers see of a link, after its definitions changed.
func (t *Table) describe(e *Effect, id binding.LinkID) {
	r := *t.links.record(id)
	old := r.set
	x := &set{prefixes: t.links.Prefixes(id), identity: t.links.Identity(id)}
	for _, ref := range t.defined[id] {
		x.labels = append(x.labels, ref.source+"/"+ref.definition.label)
		x.relays = append(x.relays, ref.definition.relays...)
	}
	x.relays = canonical(x.relays, netip.Addr.Compare)
	x.labels = canonical(x.labels, cmp.Compare[string])
	var was []netip.Addr
	if old != nil {
		was = old.relays
	}
	t.list(e, id, was, x.relays)
	if r.set = x; len(x.prefixes) == 1 && len(x.labels) == 0 {
		r.set = nil
	}
	t.setRecord(id, r)
}

// list brings the index of relay addresses from what a link listed to what it lists now.
func (t *Table) list(e *Effect, id binding.LinkID, was, now []netip.Addr) {
	for _, a := range was {
		if _, still := slices.BinarySearchFunc(now, a, netip.Addr.Compare); !still {
			e.Relays = append(e.Relays, a)
			listing, _ := t.links.relays.get(addrKey(a, 128))
			t.setListing(a, slices.DeleteFunc(slices.Clone(listing), func(x binding.LinkID) bool { return x == id }))
		}
	}
	for _, a := range now {
		if _, known := slices.BinarySearchFunc(was, a, netip.Addr.Compare); !known {
			e.Relays = append(e.Relays, a)
			listing, _ := t.links.relays.get(addrKey(a, 128))
			at, _ := slices.BinarySearchFunc(listing, id, t.links.compare)
			t.setListing(a, slices.Insert(slices.Clone(listing), at, id))
		}
	}
}

func (t *Table) setListing(a netip.Addr, listing relayLinks) {
	if len(listing) == 0 {
		t.links.relays.remove(addrKey(a, 128), t.epoch)
		return
	}
	t.links.relays.set(addrKey(a, 128), listing, t.epoch)
}
