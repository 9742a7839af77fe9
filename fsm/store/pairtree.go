package store

// window is how many neighbouring leaves, or pages, share what is too much for one of them before one more is made. With
// three, leaves that fill up in random order are about 85 % full, instead of 69 % when each is split by itself.
const window = 3

// spread divides the pairs of the full leaf at p, one more pair, and those of its neighbours evenly over these leaves, and over
// one more if they are all but full. The path is owned; it is no longer valid.
func (t *pairTree) spread(p *pairPath, k pair) {
	d := p.depth - 1
	n := p.nodes[d]
	from := max(0, min(p.at[d]-window/2, n.n-window))
	to := min(from+window, n.n)
	var all [window*pairLeafSize + 1]pair
	total := 0
	for i := from; i < to; i++ {
		l := n.leaves[i]
		if i != p.at[d] {
			total += copy(all[total:], l.p[:l.n])
			continue
		}
		total += copy(all[total:], l.p[:p.i])
		all[total] = k
		total++
		total += copy(all[total:], l.p[p.i:l.n])
	}
	leaves := to - from
	more := total > leaves*fullLeaf
	if more {
		leaves++
	}
	rest := all[:total]
	for i := from; i < to; i++ {
		l := n.leaves[i]
		if t.epochs.shared(l.epoch) {
			t.epochs.dropLeaf(l)
			l = t.epochs.newLeaf()
			n.leaves[i] = l
		}
		if i > from {
			n.keys[i] = rest[0]
		}
		l.n = copy(l.p[:len(rest)/(leaves-(i-from))], rest)
		rest = rest[l.n:]
	}
	if more {
		l := t.epochs.newLeaf()
		l.n = copy(l.p[:], rest)
		p.at[d] = to - 1
		t.insertChild(p, d, l.p[0], nil, l)
	}
}

// insertChild puts a child behind the one that p passes at depth d. p is no longer valid.
func (t *pairTree) insertChild(p *pairPath, d int, bound pair, kid *pairInner, leaf *pairLeaf) {
	n, i := p.nodes[d], p.at[d]+1
	if n.n < fan {
		n.insert(i, bound, kid, leaf)
		return
	}
	right := t.epochs.newPair()
	mid := fan / 2
	if i == fan {
		mid = fan - fan/8
	}
	n.moveTail(mid, right)
	if i <= mid {
		n.insert(i, bound, kid, leaf)
	} else {
		right.insert(i-mid, bound, kid, leaf)
	}
	if d > 0 {
		t.insertChild(p, d-1, right.keys[0], right, nil)
		return
	}
	root := t.epochs.newPair()
	root.insert(0, n.keys[0], n, nil)
	root.insert(1, right.keys[0], right, nil)
	t.root = root
	t.height++
}

func (n *pairInner) insert(i int, bound pair, kid *pairInner, leaf *pairLeaf) {
	copy(n.keys[i+1:], n.keys[i:n.n])
	copy(n.kids[i+1:], n.kids[i:n.n])
	copy(n.leaves[i+1:], n.leaves[i:n.n])
	n.keys[i], n.kids[i], n.leaves[i] = bound, kid, leaf
	n.n++
}

func (n *pairInner) remove(i int) {
	copy(n.keys[i:], n.keys[i+1:n.n])
	copy(n.kids[i:], n.kids[i+1:n.n])
	copy(n.leaves[i:], n.leaves[i+1:n.n])
	n.n--
	n.kids[n.n], n.leaves[n.n] = nil, nil
}

func (n *pairInner) moveTail(i int, to *pairInner) {
	copy(to.keys[to.n:], n.keys[i:n.n])
	copy(to.kids[to.n:], n.kids[i:n.n])
	copy(to.leaves[to.n:], n.leaves[i:n.n])
	to.n += n.n - i
	clear(n.kids[i:n.n])
	clear(n.leaves[i:n.n])
	n.n = i
}

// remove takes the pair out once; it tells whether it was there.
func (t *pairTree) remove(k pair) bool {
	var p pairPath
	p.seek(t.root, t.height, k)
	if !p.settle() || p.pair() != k {
		return false
	}
	t.own(&p)
	l := p.leaf
	copy(l.p[p.i:], l.p[p.i+1:l.n])
	l.n--
	switch {
	case l.n == 0:
		t.epochs.dropLeaf(l)
		t.removeChild(&p, p.depth-1)
	case l.n < pairLeafSize/4:
		t.joinLeaf(&p)
	}
	return true
}

// joinLeaf moves the pairs of a thinly filled leaf and of a neighbour below the same node together.
func (t *pairTree) joinLeaf(p *pairPath) {
	d := p.depth - 1
	n, i := p.nodes[d], p.at[d]
	if i+1 == n.n {
		i--
	}
	if i < 0 || n.leaves[i].n+n.leaves[i+1].n > pairLeafSize*3/4 {
		return
	}
	left, right := n.leaves[i], n.leaves[i+1]
	if t.epochs.shared(left.epoch) {
		c := t.epochs.newLeaf()
		epoch := c.epoch
		*c = *left
		c.epoch = epoch
		n.leaves[i] = c
		t.epochs.dropLeaf(left)
		left = c
	}
	left.n += copy(left.p[left.n:], right.p[:right.n])
	t.epochs.dropLeaf(right)
	p.at[d] = i + 1
	t.removeChild(p, d)
}

// removeChild takes the child that p passes at depth d out of the tree. Everything along p is owned; p is no longer valid.
func (t *pairTree) removeChild(p *pairPath, d int) {
	n := p.nodes[d]
	n.remove(p.at[d])
	if d == 0 {
		for t.height > 1 && t.root.n == 1 {
			old := t.root
			t.root = old.kids[0]
			t.height--
			t.epochs.dropPair(old)
		}
		if t.root.n == 0 {
			t.height = 1
		}
		return
	}
	if n.n == 0 {
		t.epochs.dropPair(n)
		t.removeChild(p, d-1)
		return
	}
	if n.n < fan/4 {
		t.joinInner(p, d)
	}
}

// joinInner moves a thinly filled node's children and those of a neighbour together.
func (t *pairTree) joinInner(p *pairPath, d int) {
	up, i := p.nodes[d-1], p.at[d-1]
	if i+1 == up.n {
		i--
	}
	if i < 0 || up.kids[i].n+up.kids[i+1].n > fan*3/4 {
		return
	}
	for j := i; j <= i+1; j++ {
		if n := up.kids[j]; t.epochs.shared(n.epoch) {
			c := t.epochs.newPair()
			epoch := c.epoch
			*c = *n
			c.epoch = epoch
			up.kids[j] = c
			t.epochs.dropPair(n)
		}
	}
	left, right := up.kids[i], up.kids[i+1]
	edge := left.n
	right.moveTail(0, left)
	left.keys[edge] = up.keys[i+1]
	t.epochs.dropPair(right)
	p.at[d-1] = i + 1
	t.removeChild(p, d-1)
}
