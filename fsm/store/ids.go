package store

import (
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
)

// idHashes is the hashes of the relay-ids and remote-ids of a chain.
type idHashes struct {
	relays, remotes []uint32
}

const (
	optionRemoteID = 37 // OPTION_REMOTE_ID (RFC 4649)
	optionRelayID  = 53 // OPTION_RELAY_ID (RFC 5460 5.4.1)
)

func (d *idHashes) clear() { d.relays, d.remotes = d.relays[:0], d.remotes[:0] }

// gather takes the hashes of the ids of a chain, in one reading.
func (d *idHashes) gather(h hasher, chain binding.Chain) {
	d.clear()
	for l := range chain.Levels {
		for code, id := range binding.Options(l.Options) {
			switch {
			case len(id) == 0:
			case code == optionRelayID:
				d.relays = append(d.relays, h.of(id))
			case code == optionRemoteID:
				d.remotes = append(d.remotes, h.of(id))
			}
		}
	}
}

// strike removes the hashes of the chain's ids: they stay.
func (d *idHashes) strike(h hasher, chain binding.Chain) {
	for id := range chain.RelayIDs {
		d.relays = without(d.relays, h.of(id))
	}
	for id := range chain.RemoteIDs {
		d.remotes = without(d.remotes, h.of(id))
	}
}

func without(hs []uint32, h uint32) []uint32 {
	return slices.DeleteFunc(hs, func(x uint32) bool { return x == h })
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
