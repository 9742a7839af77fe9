package store

import (
	"bytes"
	"net/netip"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/fsm/link"
)

// home is the link that an entry of the client belongs on.
func (s *Store) home(e *entry, duid []byte, h uint32) binding.LinkID {
	f := link.Facts{
		Source:    s.sourceAt(e.source).name,
		Name:      e.name,
		Prefix:    netip.PrefixFrom(netip.AddrFrom16(e.octets), int(e.bits)),
		Delegated: e.delegated(),
	}
	if a, ok := binding.Chain(e.chain).LinkAddress(); ok {
		f.LinkAddress = a
	}
	if e.anchored() {
		f.Anchor = s.anchor(e.source, duid, h)
	}
	return s.links.Home(f)
}

// anchored tells whether a binding is on the link of its client's address: a delegated prefix that came unrelayed.
func (e *entry) anchored() bool { return e.delegated() && len(e.chain) == 0 }

// anchors tells whether an entry may decide the link of its client's delegated prefixes.
func (e *entry) anchors() bool { return !e.delegated() && len(e.chain) == 0 }

// anchor is the link of the client's lowest address lease without relay chain from the same source; 0 if it has none.
func (s *Store) anchor(source uint16, duid []byte, h uint32) (id binding.LinkID) {
	var lowest [16]byte
	s.eachRecord(duid, h, func(p *path) bool {
		r := p.record()
		for e := range r.all {
			if e.kind() == binding.PD {
				break
			}
			if e.state() != binding.Active || e.source() != source || e[2] != 0 {
				continue
			}
			if o := e.octets(); id == 0 || bytes.Compare(o[:], lowest[:]) < 0 {
				id, lowest = placeLink(p.place()), o
			}
		}
		return true
	})
	return id
}

// eachRecord calls f with a path to every record of the client, on every link, until it returns false.
func (s *Store) eachRecord(duid []byte, h uint32, f func(*path) bool) {
	var links pairPath
	var p path
	links.seek(s.duids.root, s.duids.height, pair{thing: h})
	for ; links.settle() && links.pair().thing == h; links.i++ {
		lh := place(binding.LinkID(links.pair().link), h)
		if !s.clients.seek(&p, &key{place: lh, duid: duid}) {
			return
		}
		for ok := p.settle(); ok && p.isAt(p.i, lh, duid); ok = p.next() {
			if !f(&p) {
				return
			}
		}
	}
}

// move is a binding on its way to another link.
type move struct {
	place uint64
	duid  []byte
	order order
}

// follow brings the delegated prefixes that hang on a client's address leases to where they belong now, after e, an entry of
// the client, has come, changed or gone.
func (s *Store) follow(duid []byte, e *entry) {
	if !e.anchors() {
		return
	}
	h := s.hash.of(duid)
	var moves []move
	s.eachRecord(duid, h, func(p *path) bool {
		r := p.record()
		for x := range r.all {
			if x.state() == binding.Active && x.kind() == binding.PD && x[2] == 0 && x.source() == e.source {
				moves = append(moves, move{p.place(), duid, x.order()})
			}
		}
		return true
	})
	for _, m := range moves {
		s.move(m)
	}
}

// move brings one binding to the link where it belongs, if it is not there.
func (s *Store) move(m move) {
	var p path
	if !s.locate(&p, m.place, m.duid, &m.order) {
		return
	}
	r := p.record()
	var old entry
	found := false
	for x := range r.all {
		if q := x.order(); q.compare(&m.order) == 0 {
			old, found = r.unpack(x).clone(), true
			break
		}
	}
	if !found || old.ended() {
		return
	}
	home := s.home(&old, m.duid, uint32(m.place))
	if home == placeLink(m.place) {
		return
	}
	s.links.Acquire(home)
	s.finish(m.place, m.duid, &old, binding.Moved)
	e := old
	lh := place(home, uint32(m.place))
	e.mark = s.nextMark(lh)
	s.insert(lh, m.duid, &e)
	if src := s.sourceAt(e.source); src.sweeping && e.gen != src.gen {
		src.swept = position{} // it may have moved to where the sweep has been
	}
	s.links.Release(home)
}
