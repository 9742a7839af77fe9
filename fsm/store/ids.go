package store

import "github.com/leasehold/leasehold/fsm/binding"

// idHashes is the hashes of the ids in a chain that is about to go.
type idHashes struct {
	relays, remotes []uint32
}

// gather takes the hashes of the chain's ids, or none if the same chain stays with another entry.
func (d *idHashes) gather(h hasher, chain []byte, stays bool) {
	d.relays, d.remotes = d.relays[:0], d.remotes[:0]
	if stays {
		return
	}
	for id := range binding.Chain(chain).RelayIDs {
		d.relays = append(d.relays, h.of(id))
	}
	for id := range binding.Chain(chain).RemoteIDs {
		d.remotes = append(d.remotes, h.of(id))
	}
}

// strike removes the hashes of the chain's ids: they stay.
func (d *idHashes) strike(h hasher, chain []byte) {
	for id := range binding.Chain(chain).RelayIDs {
		d.relays = without(d.relays, h.of(id))
	}
	for id := range binding.Chain(chain).RemoteIDs {
		d.remotes = without(d.remotes, h.of(id))
	}
}

func without(hs []uint32, h uint32) []uint32 {
	for i := 0; i < len(hs); {
		if hs[i] == h {
			hs[i] = hs[len(hs)-1]
			hs = hs[:len(hs)-1]
		} else {
			i++
		}
	}
	return hs
}

// forgetIDs removes the gathered ids from the indexes, but those that an entry at the place still has.
func (s *Store) forgetIDs(lh uint64) {
	d := &s.ids
	if len(d.relays)+len(d.remotes) == 0 {
		return
	}
	var p path
	if s.clients.seek(&p, &key{place: lh}) {
		for ok := p.settle(); ok && p.place() == lh && len(d.relays)+len(d.remotes) > 0; ok = p.next() {
			var last uint8
			for e := range p.record().all {
				if c := e[2]; c != last {
					d.strike(s.hash, p.record().text(c))
					last = c
				}
			}
		}
	}
	for _, h := range d.relays {
		s.relays.remove(pairOf(h, lh))
	}
	for _, h := range d.remotes {
		s.remotes.remove(pairOf(h, lh))
	}
}
