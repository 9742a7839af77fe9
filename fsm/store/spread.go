package store

// item is a record on its way into a page.
type item struct {
	place uint64
	rec   record
}

func (it *item) need() int { return len(it.rec) + slotSize }

const pageRoom = pageSize - pageHeader

// spread divides the page at p, together with one more record, or with that record instead of the one at p, and with its
// neighbours, evenly over these pages, and over one more if they are all but full.
func (t *tree) spread(p *path, add item, replace bool) {
	d := p.depth - 1
	n := p.nodes[d]
	from, to := p.at[d], p.at[d]+1
	appending := !replace && p.i == p.page.count() && t.last(p)
	if !appending && fits(len(add.rec)) {
		from = max(0, min(p.at[d]-window/2, n.n-window))
		to = min(from+window, n.n)
	}
	items := t.items[:0]
	old := t.old[:0]
	total := 0
	for i := from; i < to; i++ {
		pg := n.pages[i]
		old = append(old, pg)
		at := -1
		if i == p.at[d] {
			at = p.i
		}
		items = pg.appendItems(items, at, add, replace)
	}
	for i := range items {
		total += items[i].need()
	}
	t.items, t.old = items, old

	pages := max(1, (total+fullPage-1)/fullPage)
	for range to - from - 1 {
		n.remove(from + 1)
	}
	p.at[d] = from
	var left page
	for len(items) > 0 {
		target := fillPage // records that come in order leave full pages
		if !appending {
			target = total / pages
			pages = max(1, pages-1)
		}
		k := cut(items, target)
		for i := range k {
			total -= items[i].need()
		}
		pg := t.pageOf(items[:k])
		items = items[k:]
		if left == nil {
			n.pages[from] = pg
			t.refresh(p, pg)
		} else {
			t.addPage(pg, left)
		}
		left = pg
	}
	for _, pg := range old {
		t.epochs.dropPage(pg)
	}
	clear(t.items)
	clear(t.old)
}

// appendItems appends the page's records, with add before the at-th or, to replace it, in its place.
func (p page) appendItems(items []item, at int, add item, replace bool) []item {
	for i := range p.count() {
		if i == at {
			items = append(items, add)
			if replace {
				continue
			}
		}
		items = append(items, item{p.place(i), p.record(i)})
	}
	if at == p.count() {
		items = append(items, add)
	}
	return items
}

// last tells whether p's page is the tree's last.
func (t *tree) last(p *path) bool {
	for d := range p.depth {
		if p.at[d]+1 < p.nodes[d].n {
			return false
		}
	}
	return true
}

// cut is how many of the items the next page takes: as many as come closest to target octets and have room, but one that
// needs a page of its own stands alone.
func cut(items []item, target int) int {
	n, size := 0, 0
	for n < len(items) && fits(len(items[n].rec)) {
		need := items[n].need()
		if n > 0 && (size+need > pageRoom || size+need/2 > max(target, 1)) {
			break
		}
		size += need
		n++
	}
	return max(n, 1)
}

// pageOf is a new page with the items.
func (t *tree) pageOf(items []item) page {
	size := pageHeader
	for i := range items {
		size += items[i].need()
	}
	pg := t.epochs.newPage(size)
	for i := range items {
		pg.insert(i, items[i].place, items[i].rec, t.scratch)
	}
	due, newest := pg.bounds(t.history)
	pg.setDue(due)
	pg.setNewest(newest)
	return pg
}

// refresh sets the bounds along an owned path after its page was exchanged.
func (t *tree) refresh(p *path, pg page) {
	due, newest := pg.due(), pg.newest()
	for d := p.depth - 1; d >= 0; d-- {
		n, i := p.nodes[d], p.at[d]
		n.due[i], n.newest[i] = due, newest
		due, newest = n.bounds()
	}
}

// parting is the shortest lower bound of right's records that lies behind left's.
func parting(left, right page) (uint64, rest) {
	lh := right.place(0)
	if left == nil {
		return lh, rest{}
	}
	i := left.count() - 1
	if left.place(i) != lh {
		return lh, rest{}
	}
	rec := right.record(0)
	if !left.record(i).isOf(rec.duid()) {
		return lh, rest{duid: string(rec.duid())}
	}
	o := packed(rec.first()).order()
	return lh, rest{duid: string(rec.duid()), order: &o}
}

// addPage puts a new page, whose records belong directly behind those of left, into the tree.
func (t *tree) addPage(pg, left page) {
	lh, r := parting(left, pg)
	c := child{place: lh, rest: r, due: pg.due(), newest: pg.newest(), page: pg}
	rec := pg.record(0)
	k := key{place: lh, duid: rec.duid()}
	if rec.entries() > 0 {
		o := packed(rec.first()).order()
		k.order = &o
	}
	var p path
	if !t.seek(&p, &k) {
		p.nodes[0], p.at[0] = t.root, -1
	}
	t.own(&p)
	t.insertChild(&p, p.depth-1, c)
}

// insertChild puts c behind the child that p passes at depth d. p is no longer valid.
func (t *tree) insertChild(p *path, d int, c child) {
	n, i := p.nodes[d], p.at[d]+1
	t.widen(p, d, c)
	if n.n < fan {
		n.insert(i, c)
		return
	}
	right := t.epochs.newInner()
	mid := fan / 2
	if i == fan {
		mid = fan - fan/8
	}
	n.moveTail(mid, right)
	if i <= mid {
		n.insert(i, c)
	} else {
		right.insert(i-mid, c)
	}
	due, newest := right.bounds()
	rc := child{place: right.place[0], rest: right.get(0).rest, due: due, newest: newest, kid: right}
	if d > 0 {
		up := p.nodes[d-1]
		up.due[p.at[d-1]], up.newest[p.at[d-1]] = n.bounds()
		t.insertChild(p, d-1, rc)
		return
	}
	root := t.epochs.newInner()
	due, newest = n.bounds()
	root.insert(0, child{place: n.place[0], due: due, newest: newest, kid: n})
	root.insert(1, rc)
	t.root = root
	t.height++
}

// widen widens the bounds above depth d by those of a new child.
func (t *tree) widen(p *path, d int, c child) {
	for d--; d >= 0; d-- {
		n, i := p.nodes[d], p.at[d]
		n.due[i], n.newest[i] = min(n.due[i], c.due), max(n.newest[i], c.newest)
	}
}
