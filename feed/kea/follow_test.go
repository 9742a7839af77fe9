package kea

import (
	"os"
	"path/filepath"
	"testing"
)

// journeys are scripts of a server on a new file set.
var journeys = map[string]func(k *server) []func() error{
	"writes": func(k *server) []func() error {
		return k.writes(0, 1, 2, 0, 1, 2, 3)
	},
	"rotation": func(k *server) []func() error {
		return k.between(k.rotate(99))
	},
	"two rotations": func(k *server) []func() error {
		return append(k.between(k.rotate(99)), k.between(k.rotate(99))...)
	},
	"LFC dies before it has begun": func(k *server) []func() error {
		return append(k.between(k.rotate(0)), k.between(k.rotate(99))...)
	},
	"LFC dies with its output half done": func(k *server) []func() error {
		return append(k.between(k.rotate(2)), k.between(k.rotate(99))...)
	},
	"LFC dies with its output done": func(k *server) []func() error {
		return append(k.between(k.rotate(4)), k.between(k.rotate(99))...)
	},
	"LFC dies before it removes .1": func(k *server) []func() error {
		return append(k.between(k.rotate(5)), k.between(k.rotate(99))...)
	},
	"LFC dies before its last step": func(k *server) []func() error {
		return append(k.between(k.rotate(6)), k.between(k.rotate(99))...)
	},
	"lease6-write": func(k *server) []func() error {
		return append(append(k.writes(0), k.lease6write()...), k.writes(1, 2, 0)...)
	},
	"lease6-write after a rotation": func(k *server) []func() error {
		return append(append(append(k.rotate(0), k.writes(0, 1)...), k.lease6write()...), k.writes(1, 2, 0)...)
	},
	"a rotation after lease6-write": func(k *server) []func() error {
		return append(append(k.lease6write(), k.between(k.rotate(99))...), k.writes(1, 2, 0)...)
	},
	"a torn row": func(k *server) []func() error {
		return []func() error{func() error { return k.tear(0, 20) }, k.finish, func() error { return k.tear(1, 0) }, func() error { return k.write(2) }}
	},
	"a crash in a row": func(k *server) []func() error {
		return append([]func() error{func() error { return k.tear(0, 20) }, k.restart}, k.writes(1, 2, 0)...)
	},
	"a crash in a row, then a rotation": func(k *server) []func() error {
		return append(append([]func() error{func() error { return k.tear(0, 20) }, k.restart}, k.rotate(99)...), k.writes(1, 2, 0)...)
	},
}

func (k *server) writes(addresses ...int) (steps []func() error) {
	for _, i := range addresses {
		steps = append(steps, func() error { return k.write(i) })
	}
	return steps
}

// between puts a write before each of some steps, and after the last, as long as the file is there.
func (k *server) between(steps []func() error) (out []func() error) {
	for i, s := range steps {
		if i < 2 || i > 2 {
			out = append(out, k.writes(i%4)...)
		}
		out = append(out, s)
	}
	return append(out, k.writes(0, 3)...)
}

// begin is a server whose files have something already.
func begin(t testing.TB) *server {
	t.Helper()
	k := newServer(filepath.Join(t.TempDir(), "kea-leases6.csv"))
	if err := k.open(); err != nil {
		t.Fatal(err)
	}
	steps := append(append(k.writes(0, 1, 2), k.rotate(99)...), k.writes(3, 0, 1)...)
	for _, s := range steps {
		if err := s(); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// TestEveryStepOfKeaBetweenAnyTwoOfTheFollower lets the server go on to any step before any single step of the follower: while it
// makes its first statement, and when it is at rest. Then the server goes on step by step, a step for each or for every third of
// the follower's.
func TestEveryStepOfKeaBetweenAnyTwoOfTheFollower(t *testing.T) {
	every, early := 1, 1
	if os.Getenv("LEASEHOLD_ROUNDS") == "" {
		every, early = 50, 3 // not on every occasion
	}
	for name, journey := range journeys {
		t.Run(name, func(t *testing.T) {
			seen, runs, chained, gaps := map[string]bool{}, 0, uint64(0), uint64(0)
			run := func(due func(g *stage, idle bool) int) int {
				k := begin(t)
				g := newStage(journey(k), due)
				g.seen = seen
				f := g.follower(k.path)
				if err := g.play(t.Context(), f, newAudit(k)); err != nil {
					t.Fatalf("run %d: %v", runs, err)
				}
				if err := k.file.Close(); err != nil {
					t.Error(err)
				}
				runs++
				chained, gaps = chained+f.counts().rotations, gaps+f.counts().gaps
				return g.calls
			}
			calls := run(func(*stage, bool) int { return 99 })
			for jump := range len(journey(newServer(""))) + 1 {
				for call := jump % every; call < calls; call += every {
					run(func(g *stage, _ bool) int { return steps(g.calls-call, jump, 1+call%2*2) })
					atRest(run, call%3, call%restCalls, jump)
				}
				for call := jump % early; call < turnCalls; call += early {
					atRest(run, 0, call, jump)
				}
			}
			t.Logf("%d runs, %d pairs of steps, %d rotations followed, %d gaps", runs, len(seen), chained, gaps)
		})
	}
}

// So many calls a follower needs at most to see a rotation through, and to find that nothing happened.
const (
	restCalls = 29
	turnCalls = 8
)

// atRest is a run in which nothing happens before the follower is at rest. Then come lead steps, and after some calls a jump.
func atRest(run func(func(*stage, bool) int) int, lead, calls, jump int) {
	rest := -1 // the call at which it was at rest
	run(func(g *stage, idle bool) int {
		switch {
		case rest < 0 && idle:
			rest = g.calls
			return lead
		case rest < 0:
			return 0
		}
		return steps(g.calls-rest-1-calls, jump, 1+calls%2*2)
	})
}

// steps is how many steps come at a call: none before the first, then so many at once, then one at every so many calls.
func steps(call, jump, pace int) int {
	switch {
	case call < 0:
		return 0
	case call == 0:
		return jump
	case call%pace == 0:
		return 1
	}
	return 0
}
