package history

import (
	"fmt"

	"github.com/anishathalye/porcupine"
)

// state is a group at one index of the log.
type state struct {
	versions Versions
	last     [MaxChains]uint32 // the newest batch applied of each chain
}

// step tells whether the operation may happen in the state, and what state it leaves.
func (s state) step(o *operation) (bool, state) {
	if o.write == nil {
		for i := range MaxKeys {
			if o.read.Keys.Has(i) && o.read.Saw[i] != s.versions[i] {
				return false, s
			}
		}
		return true, s
	}
	w := o.write
	if s.last[w.Chain]+1 != w.Sequence {
		// A batch whose outcome is unknown may come too late to count, or never: then it happens here and does nothing.
		return o.unknown, s
	}
	s.last[w.Chain] = w.Sequence
	for i := range MaxKeys {
		if w.Keys.Has(i) {
			s.versions[i] = w.To[i]
		}
	}
	return true, s
}

// model is the group for porcupine.
func model(initial Versions) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return state{versions: initial} },
		Step: func(s, input, _ any) (bool, any) {
			ok, next := s.(state).step(input.(*operation))
			return ok, next
		},
		Equal:             func(a, b any) bool { return a.(state) == b.(state) },
		Hash:              func(s any) uint64 { return s.(state).hash() },
		DescribeOperation: func(input, _ any) string { return input.(*operation).String() },
		DescribeState:     func(s any) string { return fmt.Sprint(s.(state).versions) },
	}
}

// hash is FNV-1a over the numbers of the state.
func (s state) hash() uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for _, v := range s.versions {
		h = (h ^ uint64(v)) * prime
	}
	for _, v := range s.last {
		h = (h ^ uint64(v)) * prime
	}
	return h
}
