package fsm

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
)

func results(f *FSM, logs []*raft.Log) []Result {
	var out []Result
	for _, r := range f.ApplyBatch(logs) {
		out = append(out, r.(Result))
	}
	return out
}

// clone copies a log, as another node has it.
func clone(logs []*raft.Log) []*raft.Log {
	var out []*raft.Log
	for _, l := range logs {
		c := *l
		c.Data = bytes.Clone(l.Data)
		out = append(out, &c)
	}
	return out
}

func TestSameLogSameState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		logs := drawLog(t)
		one, other := newFSM(t), newFSM(t)
		got := results(one, logs)
		// The other applies the same entries in pieces, forgets what Raft may reuse, and is read and snapshotted in between.
		var again []Result
		for rest := clone(logs); len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			again = append(again, results(other, rest[:n])...)
			for _, l := range rest[:n] {
				clear(l.Data)
			}
			rest = rest[n:]
			live(other)
			snapshotOf(t, other)
		}
		if diff := cmp.Diff(got, again, cmp.Comparer(func(a, b error) bool { return (a == nil) == (b == nil) })); diff != "" {
			t.Fatalf("results differ (-at once +in pieces):\n%s", diff)
		}
		if a, b := snapshotOf(t, one), snapshotOf(t, other); !bytes.Equal(a, b) {
			t.Fatalf("snapshots of %d and %d octets differ at %d", len(a), len(b), firstDifference(a, b))
		}
		v, w := one.View(), other.View()
		defer v.Release()
		defer w.Release()
		if v.Hash() != w.Hash() {
			t.Fatal("state hashes differ")
		}
	})
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func TestRestoreEqualsReplay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		logs := drawLog(t)
		whole := newFSM(t)
		want := results(whole, logs)
		cut := rapid.IntRange(0, len(logs)).Draw(t, "cut")
		first := newFSM(t)
		got := results(first, logs[:cut])
		second := restore(t, snapshotOf(t, first))
		got = append(got, results(second, logs[cut:])...)
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b error) bool { return (a == nil) == (b == nil) })); diff != "" {
			t.Fatalf("results differ (-replayed +restored after %d):\n%s", cut, diff)
		}
		if a, b := snapshotOf(t, whole), snapshotOf(t, second); !bytes.Equal(a, b) {
			t.Fatalf("restored after %d of %d entries: snapshots of %d and %d octets differ at %d", cut, len(logs), len(a), len(b), firstDifference(a, b))
		}
		if diff := cmp.Diff(whole.Sources(), second.Sources()); diff != "" {
			t.Fatalf("sources differ:\n%s", diff)
		}
		if diff := cmp.Diff(whole.Settings(), second.Settings()); diff != "" {
			t.Fatalf("settings differ:\n%s", diff)
		}
	})
}

func TestClockNeverRunsBackward(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		logs := drawLog(t)
		f := newFSM(t)
		before := f.Clock()
		for _, l := range logs {
			r := apply(t, f, l)
			if r.Clock < before || f.Clock() != r.Clock {
				t.Fatalf("clock %d after %d, result says %d", f.Clock(), before, r.Clock)
			}
			before = r.Clock
			v := f.View()
			if v.Clock() != f.Clock() || v.Index() != l.Index || f.Applied() != l.Index {
				t.Fatalf("after entry %d: view at %d of time %d, applied %d, clock %d", l.Index, v.Index(), v.Clock(), f.Applied(), f.Clock())
			}
			v.Release()
		}
	})
}

// TestWhatIsSentAgainIsAppliedOnce sends every batch once or more, some out of order, and wants what sending each once gives.
func TestWhatIsSentAgainIsAppliedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var batches [][]Change
		for range rapid.IntRange(1, 12).Draw(t, "batches") {
			batches = append(batches, drawChanges(t))
		}
		once, often := newFSM(t), newFSM(t)
		b, c := newLog(t), newLog(t)
		session := func(i int) Session { return Session{Source: "kea", Epoch: 9, Sequence: uint64(i + 1)} }
		for i, changes := range batches {
			apply(t, once, b.changes(session(i), changes...))
		}
		for done := 0; done < len(batches); {
			i := rapid.IntRange(0, min(done+2, len(batches)-1)).Draw(t, "sent")
			r := apply(t, often, c.changes(session(i), batches[i]...))
			switch {
			case i < done:
				if !r.Duplicate || r.Counts != (Result{}).Counts {
					t.Fatalf("batch %d again: %+v", i+1, r)
				}
			case i == done:
				if r.Duplicate || r.Expected != 0 || r.UnknownEpoch || r.Err != nil {
					t.Fatalf("batch %d: %+v", i+1, r)
				}
				done++
			case done == 0:
				if !r.UnknownEpoch {
					t.Fatalf("batch %d first: %+v", i+1, r)
				}
			case r.Expected != uint64(done+1):
				t.Fatalf("batch %d after %d: %+v", i+1, done, r)
			}
			if applied, known := often.Session("kea", 9); applied != uint64(done) || known != (done > 0) {
				t.Fatalf("applied %d, %v, want %d", applied, known, done)
			}
		}
		v, w := once.View(), often.View()
		defer v.Release()
		defer w.Release()
		if v.Hash() != w.Hash() {
			t.Fatal("state hashes differ")
		}
		if !slices.Equal(once.sources.append(nil), often.sources.append(nil)) {
			t.Fatal("sessions differ")
		}
	})
}

// TestOrderOfSourcesDoesNotMatter mixes, in two ways, the news of two sources that define links and of a third that has the
// bindings, and wants the same state hash: bindings follow the links, whichever came first.
func TestOrderOfSourcesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var news [3][][]Change
		for i := range news {
			for range rapid.IntRange(1, 6).Draw(t, "batches") {
				var batch []Change
				for _, c := range drawChanges(t) {
					if links := c.Event == binding.DefineLink || c.Event == binding.RemoveLink; links == (i < 2) {
						if c.Event == binding.DefineLink && rapid.Bool().Draw(t, "without relays") {
							c.Link.Relays = nil
						}
						batch = append(batch, c)
					}
				}
				if len(batch) > 0 {
					news[i] = append(news[i], batch)
				}
			}
		}
		total := len(news[0]) + len(news[1]) + len(news[2])
		run := func(how string) [32]byte {
			f, b, next := newFSM(t), newLog(t), [3]int{}
			for range total {
				var ready []int
				for i := range news {
					if next[i] < len(news[i]) {
						ready = append(ready, i)
					}
				}
				i := rapid.SampledFrom(ready).Draw(t, how)
				s := Session{Source: []string{"links-a", "links-b", "bindings"}[i], Epoch: 1, Sequence: uint64(next[i] + 1)}
				apply(t, f, b.changes(s, news[i][next[i]]...))
				next[i]++
			}
			v := f.View()
			defer v.Release()
			return v.Hash()
		}
		if one, other := run("one way"), run("another way"); one != other {
			t.Fatalf("state hashes %x and %x", one, other)
		}
	})
}
