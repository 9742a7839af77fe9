package store

import (
	"bytes"
	"net/netip"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/fsm/link"
)

// touches is the ways down the trees that a batch is going to take. What is not in the processor's caches is fetched for many
// changes side by side before they are applied, one after the other: that is several times faster, because a miss that others
// do not wait for costs a fraction of one that they do.
type touches struct {
	pairs  []pair
	leaves []*pairLeaf
	inners []*pairInner
	places []uint64
	pages  []page
	nodes  []*inner
	fresh  []int // changes of bindings that are not known
	sum    uint32

	unknown     [touchAhead]bool // by change: whether it is of a binding that was not known when it was touched
	linkAddress netip.Addr       // what the newest likely home was looked up for, and that
	linkName    []byte
	link        binding.LinkID
}

// touchAhead is how many changes are touched together: more would drive one another out of the processor's second cache, which
// holds about a megabyte, before they are applied.
const touchAhead = 96

// touch walks down the trees for some changes of a batch at once, level by level.
func (s *Store) touch(src *source, changes []binding.Change) {
	t := &s.touched
	t.pairs, t.places, t.fresh = t.pairs[:0], t.places[:0], t.fresh[:0]
	t.linkAddress = netip.Addr{}
	for i := range changes {
		a := address{}
		if e := changes[i].Event; e == binding.Upsert || e == binding.End {
			a = addressOf(changes[i].Binding.Key())
		}
		t.pairs = append(t.pairs, pair{thing: a.hash(s.hash)})
	}
	s.addresses.touch(t)
	for i, l := range t.leaves {
		t.unknown[i] = false
		if l != nil {
			if j := l.lower(t.pairs[i]); j < l.n && l.p[j].thing == t.pairs[i].thing {
				t.places = append(t.places, l.p[j].place())
				continue
			}
		}
		if changes[i].Event == binding.Upsert {
			t.fresh = append(t.fresh, i)
			t.unknown[i] = true
		}
	}
	s.clients.touch(t)
	s.touchFresh(t, src, changes)
}

// touchFresh touches the indexes that bindings not known before go into.
func (s *Store) touchFresh(t *touches, src *source, changes []binding.Change) {
	if len(t.fresh) == 0 {
		return
	}
	t.pairs, t.places = t.pairs[:0], t.places[:0]
	var last []byte
	for _, i := range t.fresh {
		b := &changes[i].Binding
		if bytes.Equal(b.DUID, last) {
			continue // another binding of the client before
		}
		last = b.DUID
		h := s.hash.of(b.DUID)
		t.pairs = append(t.pairs, pair{thing: h})
		if id := s.likelyHome(t, src, b); id != 0 {
			t.places = append(t.places, place(id, h))
		}
	}
	s.duids.touch(t)
	s.clients.touch(t)
	s.touchIDs(t, src, changes)
}

// touchIDs touches the indexes of relay-ids and remote-ids.
func (s *Store) touchIDs(t *touches, src *source, changes []binding.Change) {
	t.pairs = t.pairs[:0]
	var last []byte
	for _, i := range t.fresh {
		b := &changes[i].Binding
		if bytes.Equal(b.DUID, last) {
			continue
		}
		last = b.DUID
		for id := range b.Chain.RemoteIDs {
			t.pairs = append(t.pairs, pair{thing: s.hash.of(id)})
		}
	}
	s.remotes.touch(t)
	t.pairs = t.pairs[:0]
	last = nil
	for _, i := range t.fresh {
		b := &changes[i].Binding
		if bytes.Equal(b.DUID, last) {
			continue
		}
		last = b.DUID
		for id := range b.Chain.RelayIDs {
			t.pairs = append(t.pairs, pairOf(s.hash.of(id), place(s.likelyHome(t, src, b), s.hash.of(b.DUID))))
		}
	}
	s.relays.touch(t)
}

// likelyHome is the link that a relayed binding will be on, if it is on the same as the one before it; else it is looked up. 0
// for an unrelayed one.
func (s *Store) likelyHome(t *touches, src *source, b *binding.Binding) binding.LinkID {
	a, ok := b.Chain.LinkAddress()
	if !ok {
		return 0
	}
	if a == t.linkAddress && bytes.Equal(b.LinkName, t.linkName) {
		return t.link
	}
	id := s.links.Home(link.Facts{Source: src.name, Name: b.LinkName, LinkAddress: a, Prefix: b.Prefix, Delegated: b.Kind == binding.PD})
	s.links.Acquire(id)
	s.links.Release(id) // it goes away again if it was made up for nothing
	t.linkAddress, t.linkName, t.link = a, append(t.linkName[:0], b.LinkName...), id
	return id
}

// touch fetches the leaves in which into.pairs belong into into.leaves.
func (t *pairTree) touch(into *touches) {
	into.inners, into.leaves = into.inners[:0], into.leaves[:0]
	for range into.pairs {
		into.inners = append(into.inners, t.root)
	}
	for range t.height - 1 {
		for i, n := range into.inners {
			into.inners[i] = n.kids[n.find(into.pairs[i])]
		}
	}
	for i, n := range into.inners {
		into.leaves = append(into.leaves, n.leaves[n.find(into.pairs[i])])
	}
	for _, l := range into.leaves {
		if l != nil {
			for i := 0; i < pairLeafSize; i += 64 / pairBytes {
				into.sum += l.p[i].thing
			}
		}
	}
}

// touch fetches the records at into.places.
func (t *tree) touch(into *touches) {
	if t.root.n == 0 {
		return
	}
	into.nodes, into.pages = into.nodes[:0], into.pages[:0]
	for range into.places {
		into.nodes = append(into.nodes, t.root)
	}
	for range t.height - 1 {
		for i, n := range into.nodes {
			into.nodes[i] = n.kids[n.find(&key{place: into.places[i]})]
		}
	}
	for i, n := range into.nodes {
		into.pages = append(into.pages, n.pages[n.find(&key{place: into.places[i]})])
	}
	for _, pg := range into.pages {
		into.sum += uint32(pg[0]) + uint32(pg[64]) + uint32(pg[128]) + uint32(pg[192])
	}
	for i, pg := range into.pages {
		if j := pg.lowerPlace(into.places[i]); j < pg.count() {
			rec := pg.record(j)
			for off := 0; off < len(rec); off += 64 {
				into.sum += uint32(rec[off])
			}
		}
	}
}
