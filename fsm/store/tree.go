package store

import "github.com/leasehold/leasehold/fsm/binding"

// tree is a B+-tree of records. Its current state is changed through a path; the root and height of a moment, once pinned,
// are a view of it.
type tree struct {
	root    *inner
	height  int // levels of inner nodes, at least 1
	history binding.Time
	epochs  *epochs
	scratch []byte // as large as the largest page
	items   []item // of spread
	old     []page // of spread
}

const largestPage = 1<<16 - 1

func newTree(e *epochs) *tree {
	return &tree{root: e.newInner(), height: 1, epochs: e, scratch: make([]byte, largestPage)}
}

// path is a position in a tree: the way down, a page, and a record in it.
type path struct {
	nodes [maxDepth]*inner
	at    [maxDepth]int
	depth int // levels of inner nodes
	page  page
	i     int // may be one behind the page's last record
}

// seek leads to the first record of the page in whose range k lies that is not before k; p.i may lie one behind the last. It
// is false if the tree is empty.
func (p *path) seek(root *inner, height int, k *key) bool {
	p.depth = height
	n := root
	if n.n == 0 {
		p.page = nil
		return false
	}
	for d := range height {
		i := n.find(k)
		p.nodes[d], p.at[d] = n, i
		if d == height-1 {
			p.page = n.pages[i]
			break
		}
		n = n.kids[i]
	}
	p.i = p.page.lower(k)
	return true
}

// settle moves on to the next page while p is behind its page's last record; false at the end of the tree.
func (p *path) settle() bool {
	for p.page != nil && p.i >= p.page.count() {
		if !p.nextPage() {
			return false
		}
	}
	return p.page != nil
}

// nextPage leads to the first record of the next page; false at the end of the tree.
func (p *path) nextPage() bool {
	d := p.depth - 1
	for d >= 0 && p.at[d]+1 >= p.nodes[d].n {
		d--
	}
	if d < 0 {
		p.page = nil
		return false
	}
	p.at[d]++
	for ; d < p.depth-1; d++ {
		p.nodes[d+1], p.at[d+1] = p.nodes[d].kids[p.at[d]], 0
	}
	p.page, p.i = p.nodes[d].pages[p.at[d]], 0
	return true
}

// touchNext fetches the page behind p's into the processor's caches, all lines side by side: a walk will want them one after
// the other, and would wait for each. What it returns has no meaning but that the octets were read.
func (p *path) touchNext() (sum uint32) {
	n, i := p.nodes[p.depth-1], p.at[p.depth-1]+1
	if i < n.n {
		pg := n.pages[i]
		for off := 0; off < len(pg); off += 64 {
			sum += uint32(pg[off])
		}
	}
	return sum
}

// next leads to the next record; false at the end of the tree.
func (p *path) next() bool {
	p.i++
	return p.settle()
}

func (p *path) record() record { return p.page.record(p.i) }
func (p *path) place() uint64  { return p.page.place(p.i) }

// seek leads p to k as path.seek does.
func (t *tree) seek(p *path, k *key) bool { return p.seek(t.root, t.height, k) }

// own makes everything along the path changeable: what a view sees is copied.
func (t *tree) own(p *path) {
	for d := range p.depth {
		n := p.nodes[d]
		if !t.epochs.shared(n.epoch) {
			continue
		}
		c := t.epochs.newInner()
		c.copyFrom(n)
		if d == 0 {
			t.root = c
		} else {
			p.nodes[d-1].kids[p.at[d-1]] = c
		}
		p.nodes[d] = c
		t.epochs.dropInner(n)
	}
	if q := p.page; q != nil && t.epochs.shared(q.epoch()) {
		c := t.epochs.newPage(len(q))
		copy(c, q)
		c.setEpoch(t.epochs.now)
		p.page = c
		p.nodes[p.depth-1].pages[p.at[p.depth-1]] = c
		t.epochs.dropPage(q)
	}
}

// note widens the bounds along an owned path by something due and something changed.
func (t *tree) note(p *path, due binding.Time, newest uint64) {
	if due < p.page.due() {
		p.page.setDue(due)
	}
	if newest > p.page.newest() {
		p.page.setNewest(newest)
	}
	for d := p.depth - 1; d >= 0; d-- {
		n, i := p.nodes[d], p.at[d]
		if due >= n.due[i] && newest <= n.newest[i] {
			return
		}
		n.due[i], n.newest[i] = min(n.due[i], due), max(n.newest[i], newest)
	}
}

// tighten makes the bounds along an owned path exact.
func (t *tree) tighten(p *path) {
	due, newest := p.page.bounds(t.history)
	p.page.setDue(due)
	p.page.setNewest(newest)
	for d := p.depth - 1; d >= 0; d-- {
		n, i := p.nodes[d], p.at[d]
		n.due[i], n.newest[i] = due, newest
		due, newest = n.bounds()
	}
}

// insert puts a record at p, to which seek has led for its key. p is no longer valid if the page had no room (false).
func (t *tree) insert(p *path, lh uint64, rec record) bool {
	due, newest := rec.bounds(t.history)
	if p.page == nil {
		t.addPage(t.pageOf([]item{{lh, rec}}), nil)
		return false
	}
	t.own(p)
	if fits(len(rec)) && len(p.page) == pageSize && p.page.insert(p.i, lh, rec, t.scratch) {
		t.note(p, due, newest)
		return true
	}
	t.spread(p, item{lh, rec}, false)
	return false
}

// replace puts another record of the same key, or one that keeps the order, in the place of the one at p. p is no longer
// valid if the page had no room (false).
func (t *tree) replace(p *path, rec record) bool {
	t.own(p)
	if (len(p.page) == pageSize || !fits(len(rec))) && p.page.replace(p.i, rec, t.scratch) {
		due, newest := rec.bounds(t.history)
		t.note(p, due, newest)
		return true
	}
	t.spread(p, item{p.place(), rec}, true)
	return false
}

// remove takes the record at p out. p is no longer valid.
func (t *tree) remove(p *path) {
	t.own(p)
	p.page.remove(p.i)
	switch {
	case p.page.count() == 0:
		t.epochs.dropPage(p.page)
		t.removeChild(p, p.depth-1)
	case len(p.page) == pageSize && p.page.used() < pageSize/4:
		t.joinPage(p)
	}
}
