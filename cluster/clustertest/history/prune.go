package history

// prune leaves out every read that another implies: one that was asked for no later, given no earlier and shows nothing else.
// Where the other took place, this one may too. Reads that may be stale span much time; without them porcupine, which tries the
// orders of everything that overlaps, stays fast.
func prune(ops []operation) []operation {
	var out []operation
	for i := range ops {
		if ops[i].write != nil || !impliedByAnother(ops, i) {
			out = append(out, ops[i])
		}
	}
	return out
}

func impliedByAnother(ops []operation, i int) bool {
	for j := range ops {
		if j != i && ops[j].write == nil && implies(&ops[j], &ops[i]) && (j < i || !implies(&ops[i], &ops[j])) {
			return true
		}
	}
	return false
}

// implies tells whether, if a took place, b can have taken place at the same moment.
func implies(a, b *operation) bool {
	if a.call < b.call || a.ret > b.ret || b.read.Keys&^a.read.Keys != 0 {
		return false
	}
	for i := range MaxKeys {
		if b.read.Keys.Has(i) && a.read.Saw[i] != b.read.Saw[i] {
			return false
		}
	}
	return true
}
