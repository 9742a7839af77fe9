package kea

import (
	"errors"
	"io"
	"maps"
	"math"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

// setContents are the leases of an opened set, read naively.
func setContents(t *testing.T, files []leaseFile) map[netip.Addr]entry {
	t.Helper()
	leases := map[netip.Addr]entry{}
	for _, f := range files {
		text, err := io.ReadAll(io.NewSectionReader(f, 0, math.MaxInt64))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.SplitAfter(string(text), "\n") {
			if i == 0 || line == "" {
				continue
			}
			e, ok := readEntry(line)
			if !ok {
				t.Fatalf("line %q", line)
			}
			e.apply(leases)
		}
	}
	return leases
}

// TestSetOpenedWhileKeaRotates lets the server take any number of steps at once at any two moments of opening the files. What is
// opened is what they said at some moment of that.
func TestSetOpenedWhileKeaRotates(t *testing.T) {
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) { // so that nobody waits for the pause between two attempts
		openBetweenSteps(t, root)
	})
}

func openBetweenSteps(t *testing.T, root string) {
	t.Helper()
	runs := 0
	script := func(k *server) []func() error { return append(k.rotate(99), k.writes(1)...) }
	count := len(script(newServer("")))
	for first := range 9 { // nothing is opened after the first four calls, and the looks come twice
		for jump := range count {
			for second := first + 1; second < first+10; second++ {
				for next := range count - jump {
					runs++
					k := newServer(filepath.Join(root, "kea-leases6.csv"))
					openOnce(t, k, script(k), func(call int) int {
						switch call {
						case first:
							return jump
						case second:
							return next
						case second + 14:
							return count
						}
						return 0
					})
					for _, suffix := range []string{"", ".1", ".2", ".completed"} {
						if err := removeIfThere(k.path + suffix); err != nil {
							t.Fatal(err)
						}
					}
					if t.Failed() {
						t.Fatalf("%d steps at call %d, %d at call %d", jump, first, next, second)
					}
				}
			}
		}
	}
	t.Logf("%d runs", runs)
}

// openOnce opens the set of a server that has files already, and goes on with a script.
func openOnce(t *testing.T, k *server, script []func() error, due func(call int) int) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(k.open())
	for _, s := range append(append(k.writes(0, 1), k.rotate(99)...), k.writes(2, 0)...) {
		must(s())
	}
	before := len(k.entries)
	g := newStage(script, func(g *stage, _ bool) int { return due(g.calls) })
	files, err := openSet(t.Context(), g, k.path)
	must(errors.Join(err, g.failed))
	got := setContents(t, files)
	_ = k.close() // the script may have ended in the middle of a rotation
	must(closeFiles(files))
	for n := before; n <= len(k.entries); n++ {
		want := map[netip.Addr]entry{}
		for _, e := range k.entries[:n] {
			e.apply(want)
		}
		if maps.Equal(want, got) {
			return
		}
	}
	t.Errorf("opened %v of the journal %v", got, k.entries)
}
