package kea

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

// randomJourney is what a server does, at random: it writes rows at once and in two pieces, crashes in a row or beside one, rotates,
// its LFC dies at any step, and an operator has the leases written anew.
func randomJourney(t *rapid.T, k *server) (steps []func() error) {
	address := rapid.IntRange(0, 5)
	for n := rapid.IntRange(3, 20).Draw(t, "deeds"); n > 0; n-- {
		i, octets := address.Draw(t, "address"), rapid.IntRange(0, 80).Draw(t, "octets")
		write := func() error { return k.write(i) }
		switch rapid.SampledFrom([]string{"write", "write", "tear", "crash", "restart", "rotate", "rotate", "dump"}).Draw(t, "deed") {
		case "tear":
			steps = append(steps, func() error { return k.tear(i, octets) }, k.finish)
		case "crash":
			steps = append(steps, func() error { return k.tear(i, octets) }, k.restart)
		case "restart":
			steps = append(steps, k.restart)
		case "rotate":
			for j, s := range k.rotate(rapid.IntRange(0, 9).Draw(t, "death")) {
				steps = append(steps, s)
				if j > 2 && rapid.Bool().Draw(t, "busy") {
					steps = append(steps, write)
				}
			}
		case "dump":
			steps = append(steps, k.lease6write()...)
		}
		steps = append(steps, write)
	}
	return steps
}

// TestFollowerAgainstAnIndependentReader: whatever the server does at whatever moments, and however often the follower is stopped and
// started meanwhile, its events are the lines of the journal in order, each once, and what it has in the end is what an independent
// reader finds in the files.
func TestFollowerAgainstAnIndependentReader(t *testing.T) {
	root, runs := t.TempDir(), 0
	var chained, gaps, stops uint64
	rapid.Check(t, func(t *rapid.T) {
		runs++
		folder := filepath.Join(root, fmt.Sprint(runs))
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		k := newServer(filepath.Join(folder, "kea-leases6.csv"))
		if err := k.open(); err != nil {
			t.Fatal(err)
		}
		pace := rapid.SliceOfN(rapid.SampledFrom([]int{0, 0, 0, 1, 1, 2, 5, 12}), 1, 60).Draw(t, "pace")
		stop := rapid.SampledFrom([]int{1e9, 1e9, 3, 10, 30, 60, 100, 150}).Draw(t, "stop")
		g := newStage(randomJourney(t, k), func(g *stage, idle bool) int {
			if n := pace[g.calls%len(pace)]; n > 0 || !idle {
				return n
			}
			return g.waits % 2
		})
		g.stop = func(call int) bool { return call%stop == stop-1 && g.done < len(g.script) }
		for a := newAudit(k); ; a = newAudit(k) {
			f := g.follower(k.path)
			err := g.play(context.Background(), f, a)
			chained, gaps = chained+f.counts().rotations, gaps+f.counts().gaps
			if errors.Is(err, context.Canceled) {
				stops++
				g.run(1 + stop%4) // while there is no follower
				g.calls++
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		if err := errors.Join(k.close(), os.RemoveAll(folder)); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("%d runs, %d rotations followed, %d gaps, %d stops", runs, chained, gaps, stops)
}
