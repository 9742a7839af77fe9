package store

import "testing"

// fillOf is how many pages the tree has, and how full they are.
func fillOf(t *tree) (pages int, full float64) {
	used := 0
	var p path
	for ok := p.seek(t.root, t.height, &key{}); ok; ok = p.nextPage() {
		pages++
		used += p.page.used()
	}
	return pages, float64(used) / float64(max(pages, 1)) / pageSize
}

// fillOfPairs is the same of a pair tree.
func fillOfPairs(t *pairTree) (leaves int, full float64) {
	pairs := 0
	var p pairPath
	for p.seek(t.root, t.height, pair{}); p.settle(); p.i = p.leaf.n {
		leaves++
		pairs += p.leaf.n
	}
	return leaves, float64(pairs) / float64(max(leaves, 1)) / pairLeafSize
}

func TestFillAfterRandomInserts(t *testing.T) {
	s := New()
	benchLinks(s)
	fillStore(t, s, 100_000)
	pages, full := fillOf(s.clients)
	t.Logf("clients: %d pages, %.0f %% full", pages, 100*full)
	if full < 0.75 {
		t.Errorf("pages are %.0f %% full", 100*full)
	}
	for name, tree := range map[string]*pairTree{"addresses": s.addresses, "duids": s.duids, "relays": s.relays, "remotes": s.remotes} {
		leaves, full := fillOfPairs(tree)
		t.Logf("%s: %d leaves, %.0f %% full", name, leaves, 100*full)
		if full < 0.75 {
			t.Errorf("leaves of %s are %.0f %% full", name, 100*full)
		}
	}
}
