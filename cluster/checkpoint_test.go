package cluster

import (
	"errors"
	"testing"

	"github.com/leasehold/leasehold/fsm"
)

func TestMajorityOfCheckpoints(t *testing.T) {
	a, b, later := fsm.Checkpoint{Index: 5, Hash: 1}, fsm.Checkpoint{Index: 5, Hash: 2}, fsm.Checkpoint{Index: 9, Hash: 3}
	type held map[fsm.Checkpoint]int
	for name, tc := range map[string]struct {
		held   held
		voters int
		want   fsm.Checkpoint
		err    error // without a majority
	}{
		"all of three":                    {held{a: 3}, 3, a, nil},
		"two of three, one differs":       {held{a: 2, b: 1}, 3, a, nil},
		"two of three, one is behind":     {held{a: 1, later: 2}, 3, later, nil},
		"two of three, one is silent":     {held{b: 2}, 3, b, nil},
		"alone":                           {held{a: 1}, 1, a, nil},
		"one of three":                    {held{a: 1}, 3, fsm.Checkpoint{}, errBehind},
		"one each of three, one silent":   {held{a: 1, b: 1}, 3, fsm.Checkpoint{}, errSplit},
		"two of four":                     {held{a: 2, b: 2}, 4, fsm.Checkpoint{}, errSplit},
		"two and two of five, one behind": {held{a: 2, later: 2}, 5, fsm.Checkpoint{}, errBehind},
		"nobody has one":                  {held{}, 3, fsm.Checkpoint{}, errBehind},
	} {
		got, ok := majority(tc.held, tc.voters)
		if got != tc.want || ok != (tc.err == nil) {
			t.Errorf("%s: %v, %v, want %v", name, got, ok, tc.want)
		}
		if err := disagreement(tc.held); !ok && !errors.Is(err, tc.err) {
			t.Errorf("%s: %v, want %v", name, err, tc.err)
		}
	}
}
