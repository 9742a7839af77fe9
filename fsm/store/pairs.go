package store

// pair is an entry of a secondary index: the hash of a thing, and the place of a client that has it. Who has a thing exactly
// is found by looking at the records at that place.
type pair struct {
	thing uint32
	link  uint32
	duid  uint32
}

func pairOf(thing uint32, lh uint64) pair { return pair{thing, uint32(lh >> 32), uint32(lh)} }

func (p pair) place() uint64 { return uint64(p.link)<<32 | uint64(p.duid) }

func (p pair) less(q pair) bool {
	if p.thing != q.thing {
		return p.thing < q.thing
	}
	return p.place() < q.place()
}

const (
	pairBytes      = 12
	pairLeafSize   = 62 // pairs in a leaf: 760 octets
	pairLeafBytes  = 16 + pairBytes*pairLeafSize
	pairInnerBytes = 16 + fan*(12+8+8)
)

// pairLeaf holds pairs in order and no pointers.
type pairLeaf struct {
	epoch uint64
	n     int
	p     [pairLeafSize]pair
}

// pairInner is a node above leaves, or above other inner nodes; keys are lower bounds of the children's pairs.
type pairInner struct {
	epoch  uint64
	n      int
	keys   [fan]pair
	kids   [fan]*pairInner
	leaves [fan]*pairLeaf
}

// pairTree is a B+-tree of pairs: a bag, in which a pair may occur more than once.
type pairTree struct {
	root   *pairInner
	height int
	epochs *epochs
}

func newPairTree(e *epochs) *pairTree { return &pairTree{root: e.newPair(), height: 1, epochs: e} }

// pairPath is a position in a pair tree.
type pairPath struct {
	nodes [maxDepth]*pairInner
	at    [maxDepth]int
	depth int
	leaf  *pairLeaf
	i     int
}

// find is the first child that may hold a pair not before k: the last one whose bound is before k.
func (n *pairInner) find(k pair) int {
	if n.n < 2 {
		return 0
	}
	return lowerPair(n.keys[1:n.n], k)
}

func (l *pairLeaf) lower(k pair) int { return lowerPair(l.p[:l.n], k) }

// lowerPair is the first of the sorted pairs that is not before k, len(ps) if there is none.
func lowerPair(ps []pair, k pair) int {
	lo, hi := 0, len(ps)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if ps[mid].less(k) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// seek leads to the first pair of the leaf in whose range k lies that is not before k; p.i may lie one behind the last.
func (p *pairPath) seek(root *pairInner, height int, k pair) {
	p.depth = height
	n := root
	for d := 0; ; d++ {
		i := n.find(k)
		p.nodes[d], p.at[d] = n, i
		if d == height-1 {
			p.leaf = n.leaves[i]
			break
		}
		n = n.kids[i]
	}
	p.i = 0
	if p.leaf != nil {
		p.i = p.leaf.lower(k)
	}
}

// settle moves on to the next leaf while p is behind its leaf's last pair; false at the end.
func (p *pairPath) settle() bool {
	for p.leaf != nil && p.i >= p.leaf.n {
		d := p.depth - 1
		for d >= 0 && p.at[d]+1 >= p.nodes[d].n {
			d--
		}
		if d < 0 {
			p.leaf = nil
			return false
		}
		p.at[d]++
		for ; d < p.depth-1; d++ {
			p.nodes[d+1], p.at[d+1] = p.nodes[d].kids[p.at[d]], 0
		}
		p.leaf, p.i = p.nodes[d].leaves[p.at[d]], 0
	}
	return p.leaf != nil
}

func (p *pairPath) pair() pair { return p.leaf.p[p.i] }

// has tells whether the tree holds the pair.
func (t *pairTree) has(k pair) bool {
	var p pairPath
	p.seek(t.root, t.height, k)
	return p.settle() && p.pair() == k
}

// seekThing leads p to where a pair of the thing is, or would be; it tells whether there is one.
func (t *pairTree) seekThing(p *pairPath, thing uint32) bool {
	p.seek(t.root, t.height, pair{thing: thing})
	if p.leaf != nil && p.i < p.leaf.n {
		return p.pair().thing == thing
	}
	q := *p
	return q.settle() && q.pair().thing == thing
}

// leadsTo tells whether p, which was sought for a pair before k and has none before k behind it, is the way to k as well: no
// child further on has a bound before k.
func (p *pairPath) leadsTo(k pair) bool {
	for d := range p.depth {
		if n, i := p.nodes[d], p.at[d]+1; i < n.n && n.keys[i].less(k) {
			return false
		}
	}
	return true
}

// own makes everything along the path changeable.
func (t *pairTree) own(p *pairPath) {
	for d := range p.depth {
		n := p.nodes[d]
		if !t.epochs.shared(n.epoch) {
			continue
		}
		c := t.epochs.newPair()
		epoch := c.epoch
		*c = *n
		c.epoch = epoch
		if d == 0 {
			t.root = c
		} else {
			p.nodes[d-1].kids[p.at[d-1]] = c
		}
		p.nodes[d] = c
		t.epochs.dropPair(n)
	}
	if l := p.leaf; l != nil && t.epochs.shared(l.epoch) {
		c := t.epochs.newLeaf()
		epoch := c.epoch
		*c = *l
		c.epoch = epoch
		p.leaf = c
		p.nodes[p.depth-1].leaves[p.at[p.depth-1]] = c
		t.epochs.dropLeaf(l)
	}
}

// insert adds the pair, once more if it is there already.
func (t *pairTree) insert(k pair) {
	var p pairPath
	p.seek(t.root, t.height, k)
	t.insertAt(&p, k)
}

// insertFrom is insert for a pair of a thing that has none, from where seekThing led to.
func (t *pairTree) insertFrom(p *pairPath, k pair) {
	if !p.leadsTo(k) {
		p.seek(t.root, t.height, k)
	}
	t.insertAt(p, k)
}

// put adds the pair unless it is there.
func (t *pairTree) put(k pair) {
	var p pairPath
	p.seek(t.root, t.height, k)
	q := p
	if q.settle() && q.pair() == k {
		return
	}
	t.insertAt(&p, k)
}

func (t *pairTree) insertAt(p *pairPath, k pair) {
	t.own(p)
	l := p.leaf
	if l == nil {
		l = t.epochs.newLeaf()
		n := p.nodes[0]
		n.n, n.keys[0], n.leaves[0] = 1, k, l
	}
	if l.n < pairLeafSize {
		l.insert(p.i, k)
		return
	}
	d := p.depth - 1
	if p.i == l.n && p.at[d] == p.nodes[d].n-1 { // pairs that come in order leave full leaves
		right := t.epochs.newLeaf()
		right.n, right.p[0] = 1, k
		t.insertChild(p, d, k, nil, right)
		return
	}
	t.spread(p, k)
}

func (l *pairLeaf) insert(i int, k pair) {
	copy(l.p[i+1:l.n+1], l.p[i:l.n])
	l.p[i] = k
	l.n++
}
