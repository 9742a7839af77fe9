package leasequery

// RecallAtOnce sets how many marks of the past are found by one walk, so that few clients have many stretches, and has what was found be
// kept for whoever comes later.
func (e *Engine) RecallAtOnce(n int) {
	e.past.size = n
	e.past.enter()
}
