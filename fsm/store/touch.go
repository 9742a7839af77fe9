package store

import "github.com/leasehold/leasehold/fsm/binding"

// touches is the ways down the address index that a batch is going to take.
type touches struct {
	things []uint32
	nodes  []*pairInner
	sum    uint32
}

// touch walks down the address index for all changes of a batch at once, level by level. What is not in the processor's
// caches is fetched for many changes side by side, rather than for one after the other when they are applied.
func (s *Store) touch(changes []binding.Change) {
	t := &s.touched
	t.things, t.nodes = t.things[:0], t.nodes[:0]
	for i := range changes {
		if e := changes[i].Event; e != binding.Upsert && e != binding.End {
			continue
		}
		a := addressOf(changes[i].Binding.Key())
		t.things = append(t.things, a.hash(s.hash))
		t.nodes = append(t.nodes, s.addresses.root)
	}
	for d := range s.addresses.height {
		for i, n := range t.nodes {
			if n.n == 0 {
				continue
			}
			c := n.find(pair{thing: t.things[i]})
			if d < s.addresses.height-1 {
				t.nodes[i] = n.kids[c]
			} else {
				t.sum += n.leaves[c].p[pairLeafSize/2].thing
			}
		}
	}
}
