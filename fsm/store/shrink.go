package store

// removeChild takes the child that p passes at depth d out of the tree. Everything along p is owned; p is no longer valid.
func (t *tree) removeChild(p *path, d int) {
	n := p.nodes[d]
	n.remove(p.at[d])
	if d == 0 {
		for t.height > 1 && t.root.n == 1 {
			old := t.root
			t.root = old.kids[0]
			t.height--
			t.epochs.dropInner(old)
		}
		if t.root.n == 0 {
			t.height = 1
		}
		return
	}
	if n.n == 0 {
		t.epochs.dropInner(n)
		t.removeChild(p, d-1)
		return
	}
	up, i := p.nodes[d-1], p.at[d-1]
	up.due[i], up.newest[i] = n.bounds()
	if n.n < fan/4 {
		t.joinInner(p, d)
	}
}

// joinInner moves a thinly filled node's children and those of a neighbour together.
func (t *tree) joinInner(p *path, d int) {
	up, i := p.nodes[d-1], p.at[d-1]
	if i+1 == up.n {
		i--
	}
	if i < 0 || up.kids[i].n+up.kids[i+1].n > fan*3/4 {
		return
	}
	for j := i; j <= i+1; j++ {
		if n := up.kids[j]; t.epochs.shared(n.epoch) {
			c := t.epochs.newInner()
			c.copyFrom(n)
			up.kids[j] = c
			t.epochs.dropInner(n)
		}
	}
	left, right := up.kids[i], up.kids[i+1]
	edge := left.n
	bound := up.get(i + 1)
	right.moveTail(0, left)
	left.place[edge] = bound.place
	left.setRest(edge, bound.rest)
	if bound.rest.duid == "" && left.rests != nil {
		left.rests[edge] = rest{}
	}
	up.due[i], up.newest[i] = left.bounds()
	t.epochs.dropInner(right)
	p.at[d-1] = i + 1
	t.removeChild(p, d-1)
}

// joinPage moves the records of a thinly filled page and of a neighbour below the same node together.
func (t *tree) joinPage(p *path) {
	d := p.depth - 1
	n, i := p.nodes[d], p.at[d]
	if i+1 == n.n {
		i--
	}
	if i < 0 || i+1 >= n.n {
		return
	}
	left, right := n.pages[i], n.pages[i+1]
	if len(left) != pageSize || len(right) != pageSize || left.used()+right.used()-pageHeader > pageSize*3/4 {
		return
	}
	items := t.items[:0]
	for _, pg := range []page{left, right} {
		for j := range pg.count() {
			items = append(items, item{pg.place(j), pg.record(j)})
		}
	}
	t.items = items
	joined := t.pageOf(items)
	clear(t.items)
	n.pages[i] = joined
	p.at[d] = i
	t.refresh(p, joined)
	t.epochs.dropPage(left)
	t.epochs.dropPage(right)
	p.at[d] = i + 1
	t.removeChild(p, d)
}
