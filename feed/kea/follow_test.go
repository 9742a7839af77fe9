package kea

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
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

// unlisted is a disk whose folders may be entered and not listed.
type unlisted struct{ *stage }

func (unlisted) siblings(string) ([]string, error) { return nil, fs.ErrPermission }

// TestFollowerInAFolderThatCannotBeListed: rotations are followed all the same, each by a full statement, as Kea does not tell whether
// lease6-write came too.
func TestFollowerInAFolderThatCannotBeListed(t *testing.T) {
	for _, name := range []string{"rotation", "two rotations", "lease6-write", "a rotation after lease6-write"} {
		for pace := range 12 {
			t.Run(fmt.Sprint(name, " ", pace), func(t *testing.T) {
				k := begin(t)
				defer k.close()
				g := newStage(journeys[name](k), func(g *stage, idle bool) int {
					if idle || (pace > 0 && g.calls%pace == 0) {
						return 1
					}
					return 0
				})
				f := g.follower(k.path)
				f.disk = unlisted{g}
				if err := g.play(t.Context(), f, newAudit(k)); err != nil {
					t.Error(err)
				}
				if f.trouble() != "" || (pace == 0 && f.counts().gaps == 0) {
					t.Errorf("trouble %q, %+v", f.trouble(), f.counts())
				}
			})
		}
	}
}

// TestWhatTheTimesOfFilesProve: after lease6-write its file succeeds the one that it replaced, unless LFC has made something since then,
// or perhaps has.
func TestWhatTheTimesOfFilesProve(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	for compacted, direct := range map[time.Duration]bool{-time.Hour: true, -time.Nanosecond: true, 0: false, time.Nanosecond: false} {
		path := writeFile(t, "kea-leases6.csv", sampleHeader+sampleRow(nil))
		file, err := realDisk{}.open(path)
		if err != nil {
			t.Fatal(err)
		}
		last, err := newReading(file)
		if err != nil {
			t.Fatal(err)
		}
		c := &chain{disk: realDisk{}, clock: time.Now, path: path, files: []*reading{last}}
		err = errors.Join(os.Rename(path, path+".bak77"), os.Chtimes(path+".bak77", at, at),
			os.WriteFile(path+".2", nil, 0o600), os.Chtimes(path+".2", at.Add(compacted), at.Add(compacted)),
			os.WriteFile(path, []byte(sampleHeader), 0o600), c.look())
		if err != nil {
			t.Error(err)
		}
		if got := c.broken == nil && len(c.files) == 2; got != direct {
			t.Errorf("LFC's file %v after the last line: %d files, %v", compacted, len(c.files), c.broken)
		}
		if err := c.close(); err != nil {
			t.Error(err)
		}
	}
}

// TestTrace: the last octets, whatever the pieces in which they came.
func TestTrace(t *testing.T) {
	text := []byte(strings.Repeat(sampleHeader, 20))
	for piece := 1; piece < 1500; piece += 13 {
		var got trace
		end := 0
		for p := range slices.Chunk(text, piece) {
			got.add(p)
			end += len(p)
			want := text[max(0, end-len(got.octets)):end]
			if !bytes.Equal(got.octets[:got.n], want) {
				t.Fatalf("pieces of %d: %q, want %q", piece, got.octets[:got.n], want)
			}
		}
	}
}

// TestPlainRotationIsFollowed: no statement is needed for what the kernel tells in time, also with lease6-write, and each line is an
// event.
func TestPlainRotationIsFollowed(t *testing.T) {
	for name, rotations := range map[string]uint64{"rotation": 1, "two rotations": 2, "lease6-write": 1, "a crash in a row, then a rotation": 1} {
		k := begin(t)
		g := newStage(journeys[name](k), func(_ *stage, idle bool) int { return map[bool]int{true: 1}[idle] })
		f, a := g.follower(k.path), newAudit(k)
		first := len(k.entries)
		if err := g.play(t.Context(), f, a); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want := followCounts{statements: 1, lines: uint64(len(k.entries) - first), refused: f.counts().refused, rotations: rotations}
		if got := f.counts(); got != want || a.begins != 1 {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
		if err := k.close(); err != nil {
			t.Error(err)
		}
	}
}
