package store

import "sync/atomic"

// epochs decides which nodes a write may change in place. Time is cut into epochs: a new one begins with each view taken of a
// new state. A node knows the epoch in which it was made; views see it if that is not after their own. So a write may change
// a node in place if it is newer than the newest view still held, and must copy it otherwise. The node that a copy replaces
// goes to that newest view's list and is used again once no view can see it.
type epochs struct {
	now    uint64 // the epoch of nodes made now
	pinned uint64 // the epoch of the newest view held, 0 for none
	pins   []*pin // the views held, oldest first

	free nodes // nodes that nobody sees, to be used again
}

// pin is one state that readers hold. Readers of one moment share it.
type pin struct {
	epoch   uint64
	refs    atomic.Int64
	bytes   atomic.Int64 // of the nodes in retired
	retired nodes        // replaced since; seen by this view, and by none newer

	newer atomic.Pointer[pin] // the next one that is held; for readers, who do not see pins
}

// nodes is a heap of nodes out of use, by sort.
type nodes struct {
	pages  []page
	inners []*inner
	leaves []*pairLeaf
	pairs  []*pairInner
}

// maxFree bounds, for each sort, the nodes kept for use again; the rest goes to the garbage collector.
const maxFree = 4096

func newEpochs() epochs { return epochs{now: 1} }

// shared tells whether a view sees a node made in the given epoch.
func (e *epochs) shared(epoch uint64) bool { return epoch <= e.pinned }

// pinNow begins a new epoch and returns the pin on the one that ends.
func (e *epochs) pinNow() *pin {
	p := &pin{epoch: e.now}
	if n := len(e.pins); n > 0 {
		e.pins[n-1].newer.Store(p)
	}
	e.pins = append(e.pins, p)
	e.pinned = e.now
	e.now++
	return p
}

// collect takes back what released views held. What an older view still sees moves on to that view.
func (e *epochs) collect() {
	for i := len(e.pins) - 1; i >= 0; i-- {
		p := e.pins[i]
		if p.refs.Load() > 0 {
			continue
		}
		if i > 0 {
			e.pins[i-1].newer.Store(p.newer.Load())
			e.handDown(&p.retired, e.pins[i-1])
		} else {
			e.takeBack(&p.retired)
		}
		e.pins = append(e.pins[:i], e.pins[i+1:]...)
	}
	e.pinned = 0
	if n := len(e.pins); n > 0 {
		e.pinned = e.pins[n-1].epoch
	}
}

// handDown gives the older view what it sees of r and takes the rest back.
func (e *epochs) handDown(r *nodes, older *pin) {
	for _, n := range r.pages {
		if n.epoch() <= older.epoch {
			older.retirePage(n)
		} else {
			e.freePage(n)
		}
	}
	for _, n := range r.inners {
		if n.epoch <= older.epoch {
			older.retireInner(n)
		} else {
			e.freeInner(n)
		}
	}
	for _, n := range r.leaves {
		if n.epoch <= older.epoch {
			older.retireLeaf(n)
		} else {
			e.freeLeaf(n)
		}
	}
	for _, n := range r.pairs {
		if n.epoch <= older.epoch {
			older.retirePair(n)
		} else {
			e.freePair(n)
		}
	}
}

func (e *epochs) takeBack(r *nodes) {
	for _, n := range r.pages {
		e.freePage(n)
	}
	for _, n := range r.inners {
		e.freeInner(n)
	}
	for _, n := range r.leaves {
		e.freeLeaf(n)
	}
	for _, n := range r.pairs {
		e.freePair(n)
	}
}

func (p *pin) retirePage(n page) {
	p.retired.pages = append(p.retired.pages, n)
	p.bytes.Add(int64(len(n)))
}

func (p *pin) retireInner(n *inner) {
	p.retired.inners = append(p.retired.inners, n)
	p.bytes.Add(innerBytes)
}

func (p *pin) retireLeaf(n *pairLeaf) {
	p.retired.leaves = append(p.retired.leaves, n)
	p.bytes.Add(pairLeafBytes)
}

func (p *pin) retirePair(n *pairInner) {
	p.retired.pairs = append(p.retired.pairs, n)
	p.bytes.Add(pairInnerBytes)
}

func (e *epochs) newest() *pin { return e.pins[len(e.pins)-1] }

// dropPage, and its like below, put a node out of use that the current state no longer has.
func (e *epochs) dropPage(n page) {
	if e.shared(n.epoch()) {
		e.newest().retirePage(n)
	} else {
		e.freePage(n)
	}
}

func (e *epochs) dropInner(n *inner) {
	if e.shared(n.epoch) {
		e.newest().retireInner(n)
	} else {
		e.freeInner(n)
	}
}

func (e *epochs) dropLeaf(n *pairLeaf) {
	if e.shared(n.epoch) {
		e.newest().retireLeaf(n)
	} else {
		e.freeLeaf(n)
	}
}

func (e *epochs) dropPair(n *pairInner) {
	if e.shared(n.epoch) {
		e.newest().retirePair(n)
	} else {
		e.freePair(n)
	}
}

func (e *epochs) freePage(n page) {
	if len(n) == pageSize && len(e.free.pages) < maxFree {
		e.free.pages = append(e.free.pages, n)
	}
}

func (e *epochs) freeInner(n *inner) {
	if len(e.free.inners) < maxFree {
		*n = inner{}
		e.free.inners = append(e.free.inners, n)
	}
}

func (e *epochs) freeLeaf(n *pairLeaf) {
	if len(e.free.leaves) < maxFree {
		e.free.leaves = append(e.free.leaves, n)
	}
}

func (e *epochs) freePair(n *pairInner) {
	if len(e.free.pairs) < maxFree {
		*n = pairInner{}
		e.free.pairs = append(e.free.pairs, n)
	}
}

// pop takes the last of a list of free nodes.
func pop[N any](free *[]N) (n N, ok bool) {
	if len(*free) == 0 {
		return n, false
	}
	last := len(*free) - 1
	n = (*free)[last]
	var zero N
	(*free)[last] = zero
	*free = (*free)[:last]
	return n, true
}

// newPage is an empty page of at least pageSize octets.
func (e *epochs) newPage(size int) page {
	var n page
	ok := false
	if size <= pageSize {
		size = pageSize
		n, ok = pop(&e.free.pages)
	}
	if !ok {
		n = make(page, size)
	}
	n.reset(e.now)
	return n
}

func (e *epochs) newInner() *inner {
	n, ok := pop(&e.free.inners)
	if !ok {
		n = new(inner)
	}
	n.epoch = e.now
	return n
}

func (e *epochs) newLeaf() *pairLeaf {
	n, ok := pop(&e.free.leaves)
	if !ok {
		n = new(pairLeaf)
	}
	n.epoch, n.n = e.now, 0
	return n
}

func (e *epochs) newPair() *pairInner {
	n, ok := pop(&e.free.pairs)
	if !ok {
		n = new(pairInner)
	}
	n.epoch = e.now
	return n
}
