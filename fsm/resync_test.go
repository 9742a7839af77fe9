package fsm

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sortedAddrs(set map[netip.Addr]bool) []netip.Addr {
	return slices.SortedFunc(maps.Keys(set), netip.Addr.Compare)
}

func wantLive(t *testing.T, f *FSM, clients ...int) {
	t.Helper()
	want := map[netip.Addr]bool{}
	for _, n := range clients {
		want[address(n).Addr()] = true
	}
	if diff := cmp.Diff(sortedAddrs(want), sortedAddrs(live(f)), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("bindings in force (-want +got):\n%s", diff)
	}
}

// sweepAll ticks until nothing is due, and counts what was swept.
func sweepAll(t *testing.T, f *FSM, b *builder) (swept uint64) {
	t.Helper()
	for more := true; more; {
		r := apply(t, f, b.tick(1))
		swept += r.Counts.Swept
		more = r.More
	}
	return swept
}

func TestResyncSweepsWhatItDidNotState(t *testing.T) {
	b, f := newLog(t), newFSM(t)
	s := Session{Source: "kea", Epoch: 1}
	next := func() Session { s.Sequence++; return s }
	apply(t, f, b.changes(next(), upsert(1), upsert(2), upsert(3), defineLink("lan", "2001:db8:a::/48", "7"), defineLink("old", "2001:db8:b::/48")))
	apply(t, f, b.changes(Session{Source: "other", Epoch: 1, Sequence: 1}, upsert(8)))
	apply(t, f, b.begin(next(), true))
	apply(t, f, b.changes(next(), upsert(1), upsert(3), defineLink("lan", "2001:db8:a::/48", "7")))
	apply(t, f, b.end(next()))
	if !f.MaintenanceDue() {
		t.Error("no maintenance is due after the end of a resync")
	}
	if swept := sweepAll(t, f, b); swept != 1 {
		t.Errorf("swept %d", swept)
	}
	if f.MaintenanceDue() {
		t.Error("maintenance is due when all is done")
	}
	wantLive(t, f, 1, 3, 8)
	v := f.View()
	defer v.Release()
	var labels []string
	for id := range v.Links().All() {
		labels = append(labels, v.Links().Labels(id)...)
	}
	if !slices.Equal(labels, []string{"kea/lan"}) {
		t.Errorf("links %v", labels)
	}
}

func TestResyncWithoutLinksLeavesLinks(t *testing.T) {
	b, f := newLog(t), newFSM(t)
	apply(t, f, b.changes(Session{Source: "kea", Epoch: 1, Sequence: 1}, defineLink("lan", "2001:db8:a::/48")))
	apply(t, f, b.begin(Session{Source: "kea", Epoch: 1, Sequence: 2}, false))
	apply(t, f, b.end(Session{Source: "kea", Epoch: 1, Sequence: 3}))
	sweepAll(t, f, b)
	v := f.View()
	defer v.Release()
	if n := v.Links().Len(); n != 1 {
		t.Errorf("%d links", n)
	}
}

func TestSecondBeginSupersedesTheFirst(t *testing.T) {
	b, f := newLog(t), newFSM(t)
	one, two := Session{Source: "pair", Epoch: 1}, Session{Source: "pair", Epoch: 2}
	apply(t, f, b.changes(Session{Source: "pair", Epoch: 1, Sequence: 1}, upsert(1), upsert(2), upsert(3)))
	one.Sequence = 2
	apply(t, f, b.begin(one, false))
	apply(t, f, b.changes(Session{Source: "pair", Epoch: 1, Sequence: 3}, upsert(1)))
	two.Sequence = 1
	apply(t, f, b.begin(two, false))
	apply(t, f, b.changes(Session{Source: "pair", Epoch: 2, Sequence: 2}, upsert(2)))
	one.Sequence = 4
	if r := apply(t, f, b.end(one)); outcome(r) != "superseded" {
		t.Errorf("end of the first: %s", outcome(r))
	}
	sweepAll(t, f, b)
	wantLive(t, f, 1, 2, 3)
	two.Sequence = 3
	if r := apply(t, f, b.end(two)); outcome(r) != "applied" {
		t.Errorf("end of the second: %s", outcome(r))
	}
	sweepAll(t, f, b)
	wantLive(t, f, 2)
}

func TestBeginAgainInOneSession(t *testing.T) {
	b, f := newLog(t), newFSM(t)
	s := Session{Source: "kea", Epoch: 1}
	next := func() Session { s.Sequence++; return s }
	apply(t, f, b.changes(next(), upsert(1), upsert(2)))
	apply(t, f, b.begin(next(), false))
	apply(t, f, b.changes(next(), upsert(1)))
	apply(t, f, b.begin(next(), false)) // what was stated for the first does not count for the second
	apply(t, f, b.changes(next(), upsert(2)))
	apply(t, f, b.end(next()))
	if r := apply(t, f, b.end(next())); outcome(r) != "superseded" {
		t.Errorf("a second end: %s", outcome(r))
	}
	sweepAll(t, f, b)
	wantLive(t, f, 2)
}

func TestEndWithoutBeginSweepsNothing(t *testing.T) {
	b, f := newLog(t), newFSM(t)
	apply(t, f, b.changes(Session{Source: "kea", Epoch: 1, Sequence: 1}, upsert(1)))
	apply(t, f, b.end(Session{Source: "kea", Epoch: 1, Sequence: 2}))
	sweepAll(t, f, b)
	wantLive(t, f, 1)
}

func TestBeginSentAgainDoesNotBeginAgain(t *testing.T) {
	b, f := newLog(t), newFSM(t)
	begin := Session{Source: "kea", Epoch: 1, Sequence: 1}
	apply(t, f, b.begin(begin, false))
	apply(t, f, b.changes(Session{Source: "kea", Epoch: 1, Sequence: 2}, upsert(1)))
	if r := apply(t, f, b.begin(begin, false)); outcome(r) != "duplicate" {
		t.Errorf("begin sent again: %s", outcome(r))
	}
	apply(t, f, b.end(Session{Source: "kea", Epoch: 1, Sequence: 3}))
	sweepAll(t, f, b)
	wantLive(t, f, 1)
}

func TestUnchangedResyncChangesNothingThatShows(t *testing.T) {
	b, f := newLog(t), newFSM(t)
	s := Session{Source: "kea", Epoch: 1}
	next := func() Session { s.Sequence++; return s }
	all := []Change{defineLink("lan", "2001:db8:a::/48", "7"), upsert(1), upsert(2), upsert(3)}
	apply(t, f, b.changes(next(), all...))
	before := f.View()
	defer before.Release()
	b.clock += 30_000
	apply(t, f, b.begin(next(), true))
	for i := range all {
		all[i].AgeMS += 30_000
	}
	r := apply(t, f, b.changes(next(), all...))
	if r.Counts.Unchanged != uint64(len(all)) || r.Counts.Changed != 0 {
		t.Errorf("counts %+v", r.Counts)
	}
	apply(t, f, b.end(next()))
	sweepAll(t, f, b)
	after := f.View()
	defer after.Release()
	if before.Hash() != after.Hash() || before.Change() != after.Change() {
		t.Errorf("state hash %x became %x, newest change %d became %d", before.Hash(), after.Hash(), before.Change(), after.Change())
	}
}
