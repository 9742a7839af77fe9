package history

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// ErrUndecided says that a history could not be checked in the time given.
var ErrUndecided = errors.New("history not decided in time")

// Violation is a history that no order of the log explains.
type Violation struct {
	Group int
	// Culprit is the read with which the history stops being explained when reads are taken in the order of their returns;
	// empty when the writes alone are not explained.
	Culprit string
	// Around are the operations that overlap the culprit, or all writes.
	Around []string
}

// Error tells the culprit and what went on around it.
func (v *Violation) Error() string {
	what := v.Culprit
	if what == "" {
		what = "the writes alone"
	}
	return fmt.Sprintf("group %d is not linearizable: no order explains %s; around it:\n\t%s", v.Group, what, strings.Join(v.Around, "\n\t"))
}

// Check checks every group within the time given to each. The error joins a *Violation, or ErrUndecided, for each group that
// is not accepted.
func (r *Recorder) Check(timeout time.Duration) error {
	var errs []error
	for i := range r.groups {
		g := &r.groups[i]
		g.mu.Lock()
		ops := slices.Clone(g.ops)
		g.mu.Unlock()
		switch decide(g.initial, ops, timeout) {
		case porcupine.Ok:
		case porcupine.Unknown:
			errs = append(errs, fmt.Errorf("group %d of %d operations: %w", i, len(ops), ErrUndecided))
		default:
			errs = append(errs, explain(i, g.initial, ops, timeout))
		}
	}
	return errors.Join(errs...)
}

// quick is how long porcupine tries a history as it is.
const quick = 2 * time.Second

// decide asks porcupine; when that finds no end, it is given the history with the moments that a witness has found.
func decide(initial Versions, ops []operation, timeout time.Duration) porcupine.CheckResult {
	ops = prune(ops)
	verdict := ask(initial, ops, min(quick, timeout))
	if verdict != porcupine.Unknown {
		return verdict
	}
	order, found, decided := find(initial, ops, timeout)
	switch {
	case !decided:
		return porcupine.Unknown
	case !found:
		return porcupine.Illegal
	}
	return ask(initial, narrowed(ops, order), timeout)
}

// ask asks porcupine. What is unknown returns after everything else.
func ask(initial Versions, ops []operation, timeout time.Duration) porcupine.CheckResult {
	history := make([]porcupine.Operation, len(ops))
	for i := range ops {
		o := &ops[i]
		history[i] = porcupine.Operation{ClientId: o.client, Input: o, Call: int64(o.call), Return: int64(o.ret)}
		if o.unknown {
			history[i].Return = math.MaxInt64
		}
	}
	return porcupine.CheckOperationsTimeout(model(initial), history, timeout)
}

// explainTimeout bounds each step of the search for a culprit.
const explainTimeout = 5 * time.Second

// explain finds the first read that cannot be explained.
func explain(index int, initial Versions, ops []operation, timeout time.Duration) *Violation {
	var writes, reads []operation
	for _, o := range ops {
		if o.write != nil {
			writes = append(writes, o)
		} else {
			reads = append(reads, o)
		}
	}
	slices.SortFunc(reads, func(a, b operation) int { return cmp.Compare(a.ret, b.ret) })
	with := func(n int) bool {
		return decide(initial, append(slices.Clone(writes), reads[:n]...), min(timeout, explainTimeout)) == porcupine.Ok
	}
	v := &Violation{Group: index}
	from, to := time.Duration(math.MinInt64), time.Duration(math.MaxInt64)
	if with(0) && len(reads) > 0 {
		low, high := 0, len(reads) // explained with low reads, not with high
		for high-low > 1 {
			if middle := (low + high) / 2; with(middle) {
				low = middle
			} else {
				high = middle
			}
		}
		culprit := &reads[low]
		v.Culprit, from, to = culprit.String(), culprit.call, culprit.ret
	}
	slices.SortFunc(ops, func(a, b operation) int { return cmp.Compare(a.call, b.call) })
	for i := range ops {
		if o := &ops[i]; (o.ret >= from || o.unknown) && o.call <= to && (v.Culprit != "" || o.write != nil) && len(v.Around) < 40 {
			v.Around = append(v.Around, o.String())
		}
	}
	return v
}
