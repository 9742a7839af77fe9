package store

// lowerPair is the first of the sorted pairs that is not before k, len(ps) if there is none.
//
// What indexes keep are hashes, spread evenly, so where k lies can be told from the first and the last pair, give or take a
// few: the search begins there and gallops to the right one. That reads two or three cache lines where halving reads four, and
// hardly ever branches in a way that the processor did not expect. Where pairs are spread unevenly it costs at most twice the
// steps of halving.
func lowerPair(ps []pair, k pair) int {
	hi := len(ps) - 1
	if hi < 0 || !ps[0].less(k) {
		return 0
	}
	if ps[hi].less(k) {
		return hi + 1
	}
	lo := 0 // from here on ps[lo] is before k, and ps[hi] is not
	i := guess(&ps[0], &ps[hi], &k, hi)
	step := 1
	if ps[i].less(k) {
		for lo = i; lo+step < hi; step *= 2 {
			if !ps[lo+step].less(k) {
				hi = lo + step
				break
			}
			lo += step
		}
	} else {
		for hi = i; hi-step > lo; step *= 2 {
			if ps[hi-step].less(k) {
				lo = hi - step
				break
			}
			hi -= step
		}
	}
	for hi-lo > 1 {
		mid := int(uint(lo+hi) >> 1)
		if ps[mid].less(k) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}

// guess is where k lies between first, at 0, and last, at n, if what first and last differ in is spread evenly. k is not
// outside them.
func guess(first, last, k *pair, n int) int {
	from, to, at := first.thing, last.thing, k.thing
	if from == to {
		from, to, at = first.link, last.link, k.link
		if from == to {
			from, to, at = first.duid, last.duid, k.duid
		}
	}
	if from == to {
		return 0
	}
	return int(uint64(at-from) * uint64(n) / uint64(to-from))
}
