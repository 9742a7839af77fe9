package fsm

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
)

// story makes a log of several sources, each with one session, whose news have times of their own.
type story struct {
	*builder
	sessions map[string]uint64
}

// newStory is an empty log at the newest level; its clock is 100 s behind the start.
func newStory(t testingT) *story {
	s := &story{newLog(t), map[string]uint64{}}
	s.add(AppendLevel(nil, MaxLevel), nil)
	s.clock += 100_000
	return s
}

func (s *story) next(source string) Session {
	s.sessions[source]++
	return Session{Source: source, Epoch: 1, Sequence: s.sessions[source]}
}

// say puts news of a source into the log, about what was at a second behind the start.
func (s *story) say(source string, second int, c Change) {
	c.AgeMS = int64(s.clock-start) - int64(second)*1000
	if c.Event == binding.Upsert {
		c.Binding.Stamp = uint32(second)
	}
	s.changes(s.next(source), c)
}

// sweep is a full statement of a source that has nothing.
func (s *story) sweep(source string) {
	s.begin(s.next(source), false)
	s.end(s.next(source))
	s.clock += 1000
	s.tick(100)
}

// of is c, of another client.
func of(client byte, c Change) Change {
	c.Binding.DUID = []byte{0, 1, client}
	return c
}

// inForce tells who has address 1, as source and client; empty when nobody does.
func inForce(t testingT, f *FSM) string {
	v := f.View()
	defer v.Release()
	var c binding.Client
	got := ""
	for cursor := v.Select(binding.Query{}); cursor.Next(&c); {
		for _, e := range c.Entries {
			if e.State == binding.Active && e.Prefix == address(1) {
				if got != "" {
					t.Fatalf("two bindings in force: %s and one of %s", got, v.SourceName(e.Source))
				}
				got = fmt.Sprintf("%s %x %d", v.SourceName(e.Source), c.DUID, (e.LastTransaction-start)/1000)
			}
		}
	}
	return got
}

// everywhere applies a log on nodes that cut it differently, or take it from a snapshot somewhere, wants one state, and is a node.
func everywhere(t testingT, logs []*raft.Log) *FSM {
	t.Helper()
	whole := newFSM(t)
	whole.ApplyBatch(logs)
	want := snapshotOf(t, whole)
	for cut := range len(logs) + 1 {
		pieces := newFSM(t)
		pieces.ApplyBatch(logs[:cut])
		restored := restore(t, snapshotOf(t, pieces))
		for _, f := range []*FSM{pieces, restored} {
			for _, l := range logs[cut:] {
				f.Apply(l)
			}
			if got := snapshotOf(t, f); !bytes.Equal(got, want) {
				t.Fatalf("cut behind entry %d: snapshots differ at octet %d; %q and %q in force", cut, firstDifference(got, want), inForce(t, f), inForce(t, whole))
			}
		}
	}
	return whole
}

// TestConflictCells applies every cell of the table of DESIGN.md, with batches of two sources. What is known is source m's, of
// second 50; the news is m's own, or a lower or higher name's, of a second before, of the same and of one after.
func TestConflictCells(t *testing.T) {
	lease, given := upsert(1), release(1)
	blank := given
	blank.Binding.DUID, blank.Binding.IAID, blank.Reason = nil, 0, binding.Declined
	live := func(s *story) { s.say("m", 50, lease) }
	ended := func(s *story) { s.say("m", 40, lease); s.say("m", 50, given) }
	swept := func(s *story) { s.say("m", 50, lease); s.sweep("m") }
	type cells struct{ same, lowOlder, lowEqual, lowNewer, highOlder, highEqual, highNewer bool }
	all, none := cells{true, true, true, true, true, true, true}, cells{}
	for _, row := range []struct {
		name  string
		known func(*story)
		news  Change
		wins  cells
	}{
		{"renewal of a lease in force", live, lease, cells{same: true, lowNewer: true, highEqual: true, highNewer: true}},
		{"another client's lease beside one in force", live, of(9, lease), cells{same: true, lowNewer: true, highEqual: true, highNewer: true}},
		{"a lease that has ended", ended, lease, cells{same: true, lowNewer: true, highNewer: true}},
		{"another client's lease beside one that has ended", ended, of(9, lease), cells{same: true, lowNewer: true, highNewer: true}},
		{"a lease that was swept", swept, lease, all},
		{"another client's lease beside one that was swept", swept, of(9, lease), all},
		{"end of a lease in force", live, given, cells{same: true, lowEqual: true, lowNewer: true, highEqual: true, highNewer: true}},
		{"end of whoever has it", live, blank, cells{same: true, lowEqual: true, lowNewer: true, highEqual: true, highNewer: true}},
		{"end of another client's lease", live, of(9, given), none},
		{"end of a lease that has ended", ended, given, none},
		{"end of a lease that was swept", swept, given, none},
	} {
		for _, cell := range []struct {
			source string
			second int
			wins   bool
		}{
			{"m", 49, row.wins.same}, {"m", 50, row.wins.same}, {"m", 51, row.wins.same},
			{"a", 49, row.wins.lowOlder}, {"a", 50, row.wins.lowEqual}, {"a", 51, row.wins.lowNewer},
			{"z", 49, row.wins.highOlder}, {"z", 50, row.wins.highEqual}, {"z", 51, row.wins.highNewer},
		} {
			t.Run(fmt.Sprintf("%s/%s at %d", row.name, cell.source, cell.second), func(t *testing.T) {
				s := newStory(t)
				row.known(s)
				before := inForce(t, everywhere(t, s.logs))
				s.say(cell.source, cell.second, row.news)
				got := inForce(t, everywhere(t, s.logs))
				want := before
				if cell.wins {
					want = fmt.Sprintf("%s %x %d", cell.source, row.news.Binding.DUID, cell.second)
					if row.news.Event == binding.End {
						want = ""
					}
				}
				if got != want {
					t.Errorf("in force %q, want %q; before %q", got, want, before)
				}
			})
		}
	}
}

// said is news in a test of orders.
type said struct {
	source string
	second int
	change Change
}

// orders gives every order of what several sources say in which each keeps its own.
func orders(f func([]said), done []said, left ...[]said) {
	empty := true
	for i, l := range left {
		if len(l) > 0 {
			empty = false
			rest := slices.Clone(left)
			rest[i] = l[1:]
			orders(f, append(done[:len(done):len(done)], l[0]), rest...)
		}
	}
	if empty {
		f(done)
	}
}

// TestOrderOfArrivalDoesNotCount tells what sources say in every order that keeps theirs, and wants one outcome.
func TestOrderOfArrivalDoesNotCount(t *testing.T) {
	x, y, z, end := upsert(1), of(8, upsert(1)), of(9, upsert(1)), release(1)
	duid := func(c Change) string { return fmt.Sprintf("%x", c.Binding.DUID) }
	for _, tc := range []struct {
		name string
		said [][]said
		want string
	}{
		{"two clients, one transaction newer", [][]said{{{"a", 51, x}}, {{"b", 50, y}}}, "a " + duid(x) + " 51"},
		{"two clients in one second", [][]said{{{"a", 50, x}}, {{"b", 50, y}}}, "b " + duid(y) + " 50"},
		{"three clients in one second", [][]said{{{"a", 50, x}}, {{"b", 50, y}}, {{"c", 50, z}}}, "c " + duid(z) + " 50"},
		{"three clients, the newest of the lowest name", [][]said{{{"a", 52, x}}, {{"b", 51, y}}, {{"c", 50, z}}}, "a " + duid(x) + " 52"},
		{"a pair of two names", [][]said{{{"a", 50, x}, {"a", 60, x}}, {{"b", 50, x}, {"b", 60, x}}}, "b " + duid(x) + " 60"},
		{"a pair of which one tells of the release", [][]said{{{"a", 50, x}, {"a", 60, end}}, {{"b", 50, x}}}, ""},
		{"a pair of which both tell of it", [][]said{{{"a", 50, x}, {"a", 60, end}}, {{"b", 50, x}, {"b", 61, end}}}, ""},
		{"a client that goes on to another server", [][]said{{{"a", 50, x}, {"a", 60, end}}, {{"b", 61, x}}}, "b " + duid(x) + " 61"},
		{"an end of the same second", [][]said{{{"a", 50, x}, {"a", 60, end}}, {{"b", 60, x}}}, ""},
		{"an end by the lower name", [][]said{{{"b", 50, x}, {"b", 60, end}}, {{"a", 60, x}}}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := 0
			orders(func(all []said) {
				n++
				s := newStory(t)
				for _, w := range all {
					s.say(w.source, w.second, w.change)
				}
				if got := inForce(t, everywhere(t, s.logs)); got != tc.want {
					t.Errorf("%q in force, want %q, in the order of", got, tc.want)
					for _, w := range all {
						t.Errorf("    %s %d %v %x", w.source, w.second, w.change.Event, w.change.Binding.DUID)
					}
				}
			}, nil, tc.said...)
			if n < 2 {
				t.Fatalf("%d orders", n)
			}
		})
	}
}

// TestSweepBesideAnotherSource sweeps a source while another has leases, too.
func TestSweepBesideAnotherSource(t *testing.T) {
	lease, end := upsert(1), release(1)
	owned := fmt.Sprintf(" %x ", lease.Binding.DUID)
	for _, tc := range []struct {
		name string
		say  func(*story)
		want string
	}{
		{"never removes what another owns", func(s *story) { s.say("a", 50, lease); s.say("b", 51, lease); s.sweep("a") }, "b" + owned + "51"},
		{"removes what the source owns", func(s *story) { s.say("a", 50, lease); s.sweep("a") }, ""},
		{"the other states it again, though it is older", func(s *story) {
			s.say("b", 50, lease)
			s.say("a", 51, lease)
			s.sweep("a")
			s.say("b", 50, lease)
		}, "b" + owned + "50"},
		{"the source itself finds it again", func(s *story) { s.say("a", 51, lease); s.sweep("a"); s.say("a", 51, lease) }, "a" + owned + "51"},
		{"what the client gave back stays so", func(s *story) {
			s.say("b", 50, lease)
			s.say("a", 51, lease)
			s.say("a", 60, end)
			s.sweep("a")
			s.say("b", 50, lease)
		}, ""},
		{"a sweep of who does not own it", func(s *story) { s.say("a", 51, lease); s.say("b", 50, lease); s.sweep("b") }, "a" + owned + "51"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStory(t)
			tc.say(s)
			if got := inForce(t, everywhere(t, s.logs)); got != tc.want {
				t.Errorf("%q in force, want %q", got, tc.want)
			}
		})
	}
}

// TestSweptLeasesBeforeLevel4 keeps what a sweep meant at the levels before, to the octet: an end like any other.
func TestSweptLeasesBeforeLevel4(t *testing.T) {
	for level, want := range map[uint32]string{lastLevel: "", sweptLevel: fmt.Sprintf("b %x 50", upsert(1).Binding.DUID)} {
		s := &story{newLog(t), map[string]uint64{}}
		s.add(AppendLevel(nil, level), nil)
		s.clock += 100_000
		s.say("b", 50, upsert(1))
		s.say("a", 51, upsert(1))
		s.sweep("a")
		s.say("b", 50, upsert(1))
		if got := inForce(t, everywhere(t, s.logs)); got != want {
			t.Errorf("level %d: %q in force, want %q", level, got, want)
		}
		if level == lastLevel { // raised later, the next statement has it again
			s.add(AppendLevel(nil, sweptLevel), nil)
			s.say("b", 50, upsert(1))
			if got := inForce(t, everywhere(t, s.logs)); got == "" {
				t.Error("not in force after the level was raised")
			}
		}
	}
}

// TestClocksThatAreHoursOff lets sources give ages that are wrong by hours, which no feeder should: one that seems to speak from
// the future owns nothing longer than until the next transaction, and what seems old loses only against other sources.
func TestClocksThatAreHoursOff(t *testing.T) {
	const hour = 3600
	mine, theirs := upsert(1), of(9, upsert(1))
	duid := func(c Change) string { return fmt.Sprintf("%x", c.Binding.DUID) }
	s := newStory(t)
	s.say("ahead", 100+5*hour, mine)
	if got, want := inForce(t, everywhere(t, s.logs)), "ahead "+duid(mine)+" 100"; got != want {
		t.Fatalf("news of the future: %q, want %q", got, want)
	}
	s.clock++
	s.say("right", 101, theirs) // the client spoke a moment later; 101 is cut at the clock, too
	if got, want := inForce(t, everywhere(t, s.logs)), "right "+duid(theirs)+" 100"; got != want {
		t.Errorf("news of a millisecond later: %q, want %q", got, want)
	}
	s.say("behind", 100-5*hour, mine)
	if got, want := inForce(t, everywhere(t, s.logs)), "right "+duid(theirs)+" 100"; got != want {
		t.Errorf("news of five hours before: %q, want %q", got, want)
	}
	s.clock += 1000
	s.say("ahead", 100+9*hour, of(8, upsert(1)))
	s.say("right", 102, theirs)
	if got, want := inForce(t, everywhere(t, s.logs)), "right "+duid(theirs)+" 101"; got != want {
		t.Errorf("two in one second, of which one speaks from the future: %q, want %q", got, want)
	}
	alone := newStory(t)
	alone.say("behind", 100-5*hour, of(7, upsert(2)))
	long := of(7, upsert(1))
	long.Binding.Valid = 10 * hour
	alone.say("behind", 100-5*hour, long)
	if got := inForce(t, everywhere(t, alone.logs)); got == "" {
		t.Error("a source that seems old loses what nobody else claims")
	}
}

// TestOrderOfLeasesDoesNotCount draws what up to three sources say of one address, to several clients, and tells it in two orders that
// keep each one's own.
func TestOrderOfLeasesDoesNotCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all [][]said
		for _, source := range []string{"a", "b", "c"}[:rapid.IntRange(2, 3).Draw(t, "sources")] {
			var own []said
			for second := rapid.IntRange(40, 50).Draw(t, "first second"); len(own) < rapid.IntRange(1, 4).Draw(t, "leases"); second += rapid.IntRange(0, 3).Draw(t, "later") {
				own = append(own, said{source, second, of(rapid.SampledFrom([]byte{1, 8, 9}).Draw(t, "client"), upsert(1))})
			}
			all = append(all, own)
		}
		tell := func() string {
			s, left := newStory(t), slices.Clone(all)
			for len(left) > 0 {
				i := rapid.IntRange(0, len(left)-1).Draw(t, "next")
				w := left[i][0]
				s.say(w.source, w.second, w.change)
				if left[i] = left[i][1:]; len(left[i]) == 0 {
					left = slices.Delete(left, i, i+1)
				}
			}
			f := newFSM(t)
			f.ApplyBatch(s.logs)
			return inForce(t, f)
		}
		if x, y := tell(), tell(); x != y {
			t.Fatalf("in force %q in one order, %q in another", x, y)
		}
	})
}
