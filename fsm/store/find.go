package store

import "github.com/leasehold/leasehold/fsm/binding"

// findLive is the place of the client that has the binding in force.
func (st *state) findLive(k binding.Key) (lh uint64, ok bool) {
	a := addressOf(k)
	thing := a.hash(st.hash)
	var p pairPath
	p.seek(st.addresses.root, st.addresses.height, pair{thing: thing})
	for ; p.settle() && p.pair().thing == thing; p.i++ {
		if st.holds(p.pair().place(), &a) {
			return p.pair().place(), true
		}
	}
	return 0, false
}

// holds tells whether a client at the place has the address in force.
func (st *state) holds(lh uint64, a *address) bool {
	var p path
	for at := (key{place: lh}); p.seek(st.clients.root, st.clients.height, &at) && p.settle() && p.place() == lh; {
		duid := p.record().duid()
		if st.clientHolds(&p, lh, duid, a) {
			return true
		}
		at.duid = append(duid[:len(duid):len(duid)], 0)
	}
	return false
}

// clientHolds tells whether the client has the address in force.
func (st *state) clientHolds(p *path, lh uint64, duid []byte, a *address) bool {
	first, last := a.kinds()
	for kind := first; kind <= last; kind++ {
		o := order{kind: kind, octets: a.octets, bits: a.bits}
		if p.locate(st.clients.root, st.clients.height, lh, duid, &o) && p.record().liveAt(a) >= 0 {
			return true
		}
	}
	return false
}
