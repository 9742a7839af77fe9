package fsm

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/fsm/binding"
)

// conflictsOf tells the conflicts that a state machine knows, in short.
func conflictsOf(f *FSM) []string {
	var out []string
	for _, c := range f.Conflicts().Rows {
		why := "older"
		if c.Tie {
			why = "tie"
		}
		side := func(c binding.Claim) string {
			return fmt.Sprintf("%s %x %d %d %v", c.Source, c.DUID, c.IAID, (c.LastTransaction-start)/1000, c.State)
		}
		out = append(out, fmt.Sprintf("%v %v %s: %s | %s", c.Key, c.Kind, why, side(c.Lost), side(c.Won)))
	}
	return out
}

// TestConflictsThatShow tells what sources say, and which conflicts are left. What has settled does not show.
func TestConflictsThatShow(t *testing.T) {
	lease, end := upsert(1), release(1)
	longer, brief := lease, lease
	longer.Binding.Valid = 7200
	brief.Binding.Valid = 60
	other := of(9, lease)
	key := address(1).Addr().String()
	for _, tc := range []struct {
		name string
		say  func(*story)
		want []string
	}{
		{"two clients, the older said later", func(s *story) { s.say("a", 51, lease); s.say("b", 50, other) },
			[]string{key + " client older: b 000109 1 50 active | a 00010001 1 51 active"}},
		{"two clients, the older displaced", func(s *story) { s.say("b", 50, other); s.say("a", 51, lease) },
			[]string{key + " client older: b 000109 1 50 active | a 00010001 1 51 active"}},
		{"two clients in one second", func(s *story) { s.say("a", 50, lease); s.say("b", 50, other) },
			[]string{key + " client tie: a 00010001 1 50 active | b 000109 1 50 active"}},
		{"a lease that another has ended", func(s *story) { s.say("a", 50, lease); s.say("b", 60, end); s.say("a", 50, lease) },
			[]string{key + " ended older: a 00010001 1 50 active | b 00010001 1 60 released"}},
		{"a lease that would last longer", func(s *story) { s.say("a", 51, lease); s.say("b", 50, longer) },
			[]string{key + " lifetime older: b 00010001 1 50 active | a 00010001 1 51 active"}},
		{"another IAID", func(s *story) {
			ia := lease
			ia.Binding.IAID = 77
			s.say("a", 51, lease)
			s.say("b", 50, ia)
		}, []string{key + " client older: b 00010001 77 50 active | a 00010001 1 51 active"}},
		{"a delegated prefix", func(s *story) {
			pd, theirs := lease, other
			pd.Binding.Kind, pd.Binding.Prefix = binding.PD, netip.MustParsePrefix("2001:db8:a:8000::/56")
			theirs.Binding.Kind, theirs.Binding.Prefix = pd.Binding.Kind, pd.Binding.Prefix
			s.say("a", 51, pd)
			s.say("b", 50, theirs)
		}, []string{"2001:db8:a:8000::/56 client older: b 000109 1 50 active | a 00010001 1 51 active"}},
		{"what won has gone, and the other not come again", func(s *story) { s.say("a", 51, lease); s.say("b", 50, other); s.say("a", 60, end) },
			[]string{key + " ended older: b 000109 1 50 active | a 00010001 1 51 deleted"}},
		{"three sources", func(s *story) { s.say("a", 50, lease); s.say("b", 51, other); s.say("c", 52, of(8, lease)) },
			[]string{key + " client older: a 00010001 1 50 active | c 000108 1 52 active", key + " client older: b 000109 1 51 active | c 000108 1 52 active"}},

		{"two sources that say the same", func(s *story) { s.say("a", 51, lease); s.say("b", 50, lease); s.say("b", 51, lease) }, nil},
		{"lifetimes that end within a minute", func(s *story) { s.say("a", 90, lease); s.say("b", 50, lease) }, nil},
		{"a lease that ends earlier and is older", func(s *story) { s.say("a", 51, longer); s.say("b", 50, lease) }, nil},
		{"one source changes its mind", func(s *story) { s.say("a", 51, lease); s.say("a", 50, other); s.say("a", 50, end) }, nil},
		{"what lost has run out", func(s *story) { s.say("a", 51, lease); s.say("b", 50, of(9, brief)); s.clock += 20_000; s.tick(10) }, nil},
		{"it had run out when it was said", func(s *story) { s.say("a", 51, lease); s.say("b", 10, of(9, brief)) }, nil},
		{"what lost has come round", func(s *story) { s.say("a", 51, lease); s.say("b", 50, other); s.say("b", 52, lease) }, nil},
		{"what lost has won", func(s *story) { s.say("a", 51, lease); s.say("b", 50, other); s.say("b", 60, other) },
			[]string{key + " client older: a 00010001 1 51 active | b 000109 1 60 active"}},
		{"what lost has ended it", func(s *story) { s.say("a", 51, lease); s.say("b", 50, other); s.say("b", 60, of(9, end)) }, nil},
		{"what won has gone over to the other", func(s *story) { s.say("a", 51, lease); s.say("b", 50, other); s.say("a", 53, other) }, nil},
		{"a full statement without it", func(s *story) { s.say("a", 51, lease); s.say("b", 50, other); s.sweep("b") }, nil},
		{"a full statement with it", func(s *story) {
			s.say("a", 51, lease)
			s.say("b", 50, other)
			s.begin(s.next("b"), false)
			s.say("b", 50, other)
			s.end(s.next("b"))
		}, []string{key + " client older: b 000109 1 50 active | a 00010001 1 51 active"}},
		{"a full statement under way", func(s *story) { s.say("a", 51, lease); s.say("b", 50, other); s.begin(s.next("b"), false) },
			[]string{key + " client older: b 000109 1 50 active | a 00010001 1 51 active"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStory(t)
			tc.say(s)
			f := everywhere(t, s.logs)
			if got := conflictsOf(f); fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("conflicts\n%q, want\n%q", got, tc.want)
			}
			one := newFSM(t)
			for _, l := range s.logs {
				one.Apply(l)
			}
			if got, want := conflictsOf(one), conflictsOf(f); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("a node that cut the log differently has %q, not %q", got, want)
			}
		})
	}
}

// TestConflictsBeginAnewWithASnapshot restores a state: what was said before is not known, and says so, and comes again with the
// next statement.
func TestConflictsBeginAnewWithASnapshot(t *testing.T) {
	s := newStory(t)
	s.say("a", 51, upsert(1))
	s.say("b", 50, of(9, upsert(1)))
	f := newFSM(t)
	f.ApplyBatch(s.logs)
	if c := f.Conflicts(); len(c.Rows) != 1 || c.Since != 0 || c.Total[binding.ClientKind] != 1 || c.Rows[0].First != s.clock {
		t.Errorf("conflicts %+v", c)
	}
	g := restore(t, snapshotOf(t, f))
	if c := g.Conflicts(); len(c.Rows) != 0 || c.Since != s.clock {
		t.Errorf("after a restore: %+v, want none, since %d", c, s.clock)
	}
	if err := f.Restore(io.NopCloser(bytes.NewReader(snapshotOf(t, f)))); err != nil {
		t.Fatal(err)
	}
	if c := f.Conflicts(); len(c.Rows) != 0 || c.Total[binding.ClientKind] != 1 {
		t.Errorf("counts go on behind a restore: %+v", c)
	}
	s.clock += 5000
	s.say("b", 50, of(9, upsert(1)))
	apply(t, g, s.logs[len(s.logs)-1])
	if c := g.Conflicts(); len(c.Rows) != 1 || c.Rows[0].First != s.clock {
		t.Errorf("stated again: %+v", c)
	}
}

// TestConflictsAreBounded has more of them than a node remembers: the newest are known, and how many are not.
func TestConflictsAreBounded(t *testing.T) {
	const n, room = 5000, 4096
	s, f := newStory(t), newFSM(t)
	var mine, theirs []Change
	for i := range n {
		mine = append(mine, upsert(i))
		c := of(9, upsert(i))
		c.AgeMS = 5000
		theirs = append(theirs, c)
	}
	for from := 0; from < n; from += MaxChanges {
		s.changes(s.next("a"), mine[from:min(from+MaxChanges, n)]...)
	}
	for range 2 {
		for from := 0; from < n; from += MaxChanges {
			s.changes(s.next("b"), theirs[from:min(from+MaxChanges, n)]...)
		}
	}
	f.ApplyBatch(append([]*raft.Log(nil), s.logs...))
	c := f.Conflicts()
	if len(c.Rows) != room || c.Dropped == 0 || c.Rows[room-1].Key.Prefix != address(n-1) {
		t.Errorf("%d rows, %d dropped, the last is %v", len(c.Rows), c.Dropped, c.Rows[len(c.Rows)-1].Key)
	}
}
