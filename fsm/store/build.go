package store

// treeBuilder makes a tree of records that come in order.
type treeBuilder struct {
	t     *tree
	items []item
	size  int
	heap  []byte // the items' records
	left  page
	level []child
}

// fill is how full a page, or a leaf of pairs, is made that is built from sorted input: there will be changes.
const (
	fillPage = pageRoom - pageRoom/16
	fillLeaf = pairLeafSize - 4
	fillNode = fan - 4
)

// full is how full neighbouring pages, or leaves, are together when one more is made beside them. Nearer to the brim, each
// insert would move records about.
const (
	fullPage = pageRoom * 15 / 16
	fullLeaf = pairLeafSize * 15 / 16
)

// add takes a record, which is copied.
func (b *treeBuilder) add(lh uint64, rec record) {
	it := item{place: lh, rec: rec}
	if len(b.items) > 0 && b.size+it.need() > fillPage {
		b.close()
	}
	from := len(b.heap)
	b.heap = append(b.heap, rec...)
	it.rec = record(b.heap[from:])
	b.items = append(b.items, it)
	b.size += it.need()
}

// close makes a page of what was gathered.
func (b *treeBuilder) close() {
	if len(b.items) == 0 {
		return
	}
	pg := b.t.pageOf(b.items)
	lh, r := parting(b.left, pg)
	b.level = append(b.level, child{place: lh, rest: r, due: pg.due(), newest: pg.newest(), page: pg})
	b.left = pg
	b.items, b.heap, b.size = b.items[:0], b.heap[:0], 0
}

// finish makes the inner nodes.
func (b *treeBuilder) finish() {
	b.close()
	if len(b.level) == 0 {
		return
	}
	height := 0
	level := b.level
	for height == 0 || len(level) > 1 {
		var up []child
		for len(level) > 0 {
			n := b.t.epochs.newInner()
			take := min(fillNode, len(level))
			for i := range take {
				n.insert(i, level[i])
			}
			due, newest := n.bounds()
			up = append(up, child{place: level[0].place, rest: level[0].rest, due: due, newest: newest, kid: n})
			level = level[take:]
		}
		level = up
		height++
	}
	b.t.root, b.t.height = level[0].kid, height
}

// sortByThing sorts pairs, which come in the order of their places, by thing as well.
func sortByThing(pairs []pair) []pair {
	other := make([]pair, len(pairs))
	for shift := 0; shift < 32; shift += 11 {
		var at [1 << 11]int
		for _, p := range pairs {
			at[p.thing>>shift&(1<<11-1)]++
		}
		sum := 0
		for i, n := range at {
			at[i] = sum
			sum += n
		}
		for _, p := range pairs {
			d := p.thing >> shift & (1<<11 - 1)
			other[at[d]] = p
			at[d]++
		}
		pairs, other = other, pairs
	}
	return pairs
}

// build fills an empty tree with sorted pairs.
func (t *pairTree) build(pairs []pair) {
	if len(pairs) == 0 {
		return
	}
	var nodes []*pairInner
	var bounds []pair
	for len(pairs) > 0 {
		n := t.epochs.newPair()
		nodes, bounds = append(nodes, n), append(bounds, pairs[0])
		for n.n < fillNode && len(pairs) > 0 {
			l := t.epochs.newLeaf()
			l.n = copy(l.p[:fillLeaf], pairs)
			n.insert(n.n, pairs[0], nil, l)
			pairs = pairs[l.n:]
		}
	}
	height := 1
	for ; len(nodes) > 1; height++ {
		var up []*pairInner
		var upBounds []pair
		for len(nodes) > 0 {
			n := t.epochs.newPair()
			up, upBounds = append(up, n), append(upBounds, bounds[0])
			take := min(fillNode, len(nodes))
			for i := range take {
				n.insert(i, bounds[i], nodes[i], nil)
			}
			nodes, bounds = nodes[take:], bounds[take:]
		}
		nodes, bounds = up, upBounds
	}
	t.root, t.height = nodes[0], height
}
