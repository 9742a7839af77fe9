package store

import "bytes"

const (
	// crowd is from how many entries on it is remembered who of them counts. Few addresses ever have so many: those that change
	// hands again and again within the time for which ends are kept.
	crowd = 16
	// maxCrowded bounds for how many addresses that is remembered.
	maxCrowded = 1 << 16
)

// holder leads to what is known of an address that many clients had: the entry in force (mark 0), or the newest end. Without
// duid it has to be looked for.
type holder struct {
	place uint64
	duid  []byte
	mark  uint64
}

// holders says of crowded addresses, by hash, what known would find. It decides nothing: whatever it says is looked at, and who
// has the address may be asked without it. So it is in no snapshot, and need not be the same on all nodes.
type holders map[uint32]holder

// entered follows an entry that was put into the store.
func (h holders) entered(thing uint32, lh uint64, duid []byte, e *entry) {
	if _, ok := h[thing]; !ok || e.moved() {
		return // an exit says nothing of the address
	}
	at := holder{place: lh, duid: bytes.Clone(duid)}
	if e.ended() {
		at.mark = e.mark // ends are made in the order of their marks
	}
	h[thing] = at
}

// left follows an entry that was taken out of the store.
func (h holders) left(thing uint32, lh uint64, duid []byte, e *entry) {
	at, ok := h[thing]
	if !ok || at.place != lh || !bytes.Equal(at.duid, duid) {
		return
	}
	if e.ended() == (at.mark != 0) && (at.mark == 0 || at.mark == e.mark) {
		h[thing] = holder{}
	}
}

// found notes what was found, among many entries or a few.
func (h holders) found(thing uint32, many bool, k *known, ok bool) {
	if !ok || !many {
		delete(h, thing)
		return
	}
	if len(h) >= maxCrowded {
		clear(h)
	}
	at := holder{place: k.place, duid: k.duid}
	if k.entry.ended() {
		at.mark = k.entry.mark
	}
	h[thing] = at
}
