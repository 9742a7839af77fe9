package fsm

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
)

// TestSweepsAndOwnersAtRandom lets sources state, end and sweep leases of one address at random, against a linear model of the table in
// DESIGN.md: a sweep removes what its source owns and has not stated since, and nothing else, however often the owner has changed.
func TestSweepsAndOwnersAtRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type known struct {
			owner, client string
			second        int
			live, swept   bool
			stated        int // the owner's statement in which it was stated
		}
		var k *known
		statements := map[string]int{}
		open := map[string]bool{}
		s := newStory(t)
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			source := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "source")
			client := rapid.SampledFrom([]byte{1, 9}).Draw(t, "client")
			second := rapid.IntRange(40, 50).Draw(t, "second")
			lease, given := of(client, upsert(1)), of(client, release(1))
			name := fmt.Sprintf("%x", lease.Binding.DUID)
			switch rapid.SampledFrom([]string{"lease", "lease", "lease", "end", "begin", "complete"}).Draw(t, "what") {
			case "lease":
				s.say(source, second, lease)
				if k == nil || k.swept || source == k.owner || second > k.second || k.live && second == k.second && source > k.owner {
					k = &known{source, name, second, true, false, statements[source]}
				}
			case "end":
				s.say(source, second, given)
				if k != nil && k.live && k.client == name && (source == k.owner || second >= k.second) {
					k = &known{owner: source, client: name, second: second}
				}
			case "begin":
				s.begin(s.next(source), false)
				statements[source]++
				open[source] = true
			case "complete":
				if !open[source] {
					continue
				}
				open[source] = false
				s.end(s.next(source))
				s.clock++
				s.tick(100)
				if k != nil && k.live && k.owner == source && k.stated != statements[source] {
					k = &known{owner: source, client: k.client, swept: true}
				}
			}
			f := newFSM(t)
			f.ApplyBatch(slices.Clone(s.logs))
			want := ""
			if k != nil && k.live {
				want = fmt.Sprintf("%s %s %d", k.owner, k.client, k.second)
			}
			if got := inForce(t, f); got != want {
				t.Fatalf("in force %q, want %q", got, want)
			}
		}
	})
}

// TestAnEndStandsAgainstOlderLeases is where the order of arrival counts: an end ends what is in force, and then stands against what is
// older, also another client's. It shows as a conflict; the client's next transaction settles it, and so does time.
func TestAnEndStandsAgainstOlderLeases(t *testing.T) {
	x, y, end := upsert(1), of(9, upsert(1)), release(1)
	first := func(s *story) { s.say("b", 55, y); s.say("a", 50, x); s.say("a", 60, end) }
	last := func(s *story) { s.say("a", 50, x); s.say("a", 60, end); s.say("b", 55, y) }
	again := func(s *story) { s.say("b", 55, y) }
	inForceB := func(second int) string { return fmt.Sprintf("b %x %d", y.Binding.DUID, second) }
	for _, tc := range []struct {
		name     string
		say      []func(*story)
		want     string
		conflict bool
	}{
		{"the lease first", []func(*story){first}, inForceB(55), false},
		{"the end first", []func(*story){last}, "", true},
		{"the end first, and the lease again", []func(*story){last, again}, "", true},
		{"the end first, and the client renews", []func(*story){last, func(s *story) { s.say("b", 61, y) }}, inForceB(61), false},
		{"the end first, and the lease that it ended would have run out", []func(*story){last, func(s *story) {
			s.clock += binding.Time(x.Binding.Valid) * 1000
			s.tick(100)
			y := y
			y.Binding.Valid *= 3
			s.say("b", 55, y)
		}}, inForceB(55), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStory(t)
			for _, say := range tc.say {
				say(s)
			}
			f := everywhere(t, s.logs)
			if got := inForce(t, f); got != tc.want {
				t.Errorf("%q in force, want %q", got, tc.want)
			}
			if got := conflictsOf(f); (len(got) > 0) != tc.conflict {
				t.Errorf("conflicts %q", got)
			}
		})
	}
}
