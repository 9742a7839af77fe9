package store

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/leasehold/leasehold/fsm/binding"
)

// batch applies the two bindings of some clients, as they are at a time.
func batch(s *Store, now binding.Time, change func(*binding.Change), clients ...int) {
	var g generator
	for _, n := range clients {
		g.client(n, now)
	}
	for i := range g.changes {
		change(&g.changes[i])
	}
	s.Apply(Batch{Index: s.index + 1, Clock: now, Source: "kea", Changes: g.changes})
}

func asIs(*binding.Change) {}

// TestMarksAreTheChanges compares what is collected with what is in the state behind it.
func TestMarksAreTheChanges(t *testing.T) {
	s := New()
	s.SetHistory(time.Hour)
	benchLinks(s)
	s.CollectMarks(100)
	take := func(what string, want int) (at []binding.Mark) {
		t.Helper()
		made, lost := s.TakeMarks()
		if len(made) != want || lost != 0 {
			t.Fatalf("%s: %d changes, %d lost, want %d", what, len(made), lost, want)
		}
		v := s.View()
		defer v.Release()
		var c binding.Client
		for i, m := range made {
			if i > 0 && m.Change <= made[i-1].Change {
				t.Errorf("%s: change %d behind %d", what, m.Change, made[i-1].Change)
			}
			if binding.ChangeTime(m.Change) != s.clock || !v.At(m, &c) {
				t.Errorf("%s: nothing at %v, changed at %d, clock %d", what, m, binding.ChangeTime(m.Change), s.clock)
			}
		}
		if want > 0 && v.Change() != made[want-1].Change {
			t.Errorf("%s: newest change %d, want %d", what, v.Change(), made[want-1].Change)
		}
		return slices.Clone(made)
	}
	batch(s, benchStart, asIs, 1, 2)
	take("two clients with two bindings", 4)
	s.BeginResync(s.index+1, benchStart, "kea", false)
	batch(s, benchStart, asIs, 1, 2)
	s.EndResync(s.index+1, benchStart, "kea")
	s.Maintain(s.index+1, benchStart, 100)
	take("a resync of what is known", 0)
	batch(s, benchStart+1000, asIs, 1)
	renewed := take("a renewal", 2)
	batch(s, benchStart+1000, func(c *binding.Change) { c.Binding.DUID = []byte("another client") }, 1)
	moved, _ := s.TakeMarks()
	if len(moved) != 4 || moved[0].Place != renewed[0].Place || moved[1].Place == renewed[0].Place {
		t.Errorf("addresses given to another client: %v, of the one before %v", moved, renewed)
	}
	v := s.View()
	var c binding.Client
	for i, m := range renewed {
		if v.At(m, &c) {
			t.Errorf("renewal %d is still there after the binding has gone to another client", i)
		}
	}
	v.Release()
	batch(s, benchStart+2000, func(c *binding.Change) { c.Event, c.Reason = binding.End, binding.Declined }, 2)
	take("two declined", 2)
	s.Maintain(s.index+1, benchStart+7201_000, 100)
	take("two expired", 2)
	s.Maintain(s.index+1, benchStart+90_000_000, 100)
	if made, _ := s.TakeMarks(); len(made) != 0 || s.sums.ended != 0 {
		t.Errorf("%d changes when %d ends are left", len(made), s.sums.ended)
	}
}

// TestMarksOverTheLimitAreLost names the newest that is missing.
func TestMarksOverTheLimitAreLost(t *testing.T) {
	s := New()
	s.CollectMarks(3)
	for n := range 4 {
		batch(s, benchStart, asIs, n)
	}
	made, lost := s.TakeMarks()
	if len(made) != 2 || lost != made[0].Change-1 || made[1].Change != s.Change() {
		t.Errorf("made %v, lost %d, newest %d", made, lost, s.Change())
	}
	if made, lost = s.TakeMarks(); len(made) != 0 || lost != 0 {
		t.Errorf("taken twice: %v, %d", made, lost)
	}
}

// TestHistoryAfterIsTheNewestForgotten prunes ends one after the other, on a store and on one restored from it.
func TestHistoryAfterIsTheNewestForgotten(t *testing.T) {
	s := New()
	s.SetHistory(10 * time.Second)
	s.CollectMarks(100)
	batch(s, benchStart, asIs, 1, 2)
	shorter := func(c *binding.Change) { c.Binding.Valid = 5 }
	batch(s, benchStart+1000, shorter, 1, 2)
	s.TakeMarks()
	s.Maintain(s.index+1, benchStart+6000, 100)
	ends, _ := s.TakeMarks()
	if len(ends) != 4 {
		t.Fatalf("%d ends", len(ends))
	}
	ends = slices.Clone(ends)
	for pruned := range len(ends) + 1 {
		v := s.View()
		want := uint64(0)
		if pruned > 0 {
			want = v.HistoryAfter()
			gone := 0
			var c binding.Client
			for _, m := range ends {
				if !v.At(m, &c) {
					gone++
					want = max(want, m.Change)
				}
			}
			if gone != pruned {
				t.Fatalf("%d ends gone, want %d", gone, pruned)
			}
		}
		if v.HistoryAfter() != want {
			t.Errorf("%d pruned: behind %d, want %d", pruned, v.HistoryAfter(), want)
		}
		v.Release()
		snapshot := s.Snapshot()
		var buf bytes.Buffer
		if _, err := snapshot.WriteTo(&buf); err != nil {
			t.Fatal(err)
		}
		snapshot.Release()
		r, err := Restore(&buf)
		if err != nil {
			t.Fatal(err)
		}
		w := r.View()
		if got := w.HistoryAfter(); got < want || got > w.Change() {
			t.Errorf("%d pruned, restored: behind %d, want %d to %d", pruned, got, want, w.Change())
		}
		w.Release()
		s.Maintain(s.index+1, benchStart+20_000, 1)
	}
}

// TestLinksChangedWhenOthersAreSelected asks for the links of addresses after each of many changes.
func TestLinksChangedWhenOthersAreSelected(t *testing.T) {
	s := New()
	before := uint64(0)
	step := func(what string, grows bool, do func()) {
		t.Helper()
		do()
		v := s.View()
		defer v.Release()
		if after := v.LinksChanged(); after < before || after > before != grows {
			t.Errorf("%s: %d after %d", what, after, before)
		} else {
			before = after
		}
	}
	define := func(event binding.Event, prefix string) func() {
		l := binding.Link{Label: "x", Prefixes: worldPrefix(prefix)}
		return func() {
			s.Apply(Batch{Index: s.index + 1, Clock: benchStart, Source: "kea", Changes: []binding.Change{{Event: event, Link: &l}}})
		}
	}
	step("a link", true, define(binding.DefineLink, "2001:db8:7::/48"))
	step("the same link", false, define(binding.DefineLink, "2001:db8:7::/48"))
	step("another prefix", true, define(binding.DefineLink, "2001:db8:8::/48"))
	step("no link", true, define(binding.RemoveLink, "2001:db8:8::/48"))
	step("a client on a link of its own", true, func() { batch(s, benchStart, asIs, 1) })
	step("a renewal", false, func() { batch(s, benchStart+1000, asIs, 1) })
	step("a client on that link", false, func() { batch(s, benchStart+1000, asIs, 1+benchRelays) })
	step("the end of one", false, func() {
		batch(s, benchStart+2000, func(c *binding.Change) { c.Event, c.Reason = binding.End, binding.Released }, 1)
	})
	step("the end of the last", true, func() {
		batch(s, benchStart+2000, func(c *binding.Change) { c.Event, c.Reason = binding.End, binding.Released }, 1+benchRelays)
	})
	step("a restored store in its place", true, func() {
		snapshot := s.Snapshot()
		defer snapshot.Release()
		var buf bytes.Buffer
		if _, err := snapshot.WriteTo(&buf); err != nil {
			t.Fatal(err)
		}
		r, err := Restore(&buf)
		if err != nil {
			t.Fatal(err)
		}
		r.Continue(s)
		s = r
	})
}

// TestRestoreRefusesABindingThatEndedByItself sets the bit of an end on a binding in force.
func TestRestoreRefusesABindingThatEndedByItself(t *testing.T) {
	s := New()
	s.KeepLastTransaction()
	batch(s, benchStart, asIs, 1)
	s.Maintain(s.index+1, benchStart+7200_000, 1)
	v := s.Snapshot()
	defer v.Release()
	var buf bytes.Buffer
	if _, err := v.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	var p path
	p.seek(s.clients.root, s.clients.height, &key{})
	p.settle()
	refused, ended := 0, 0
	for e := range p.record().all {
		octets := bytes.Clone(buf.Bytes())
		at := bytes.Index(octets, e)
		octets[at] ^= packedOwn
		_, err := Restore(bytes.NewReader(octets))
		if refuse := e.state() == binding.Active; (err != nil) != refuse {
			t.Errorf("bit turned of an entry that is %v: %v", e.state(), err)
		} else if refuse {
			refused++
		}
		if e.own() {
			ended++
		}
	}
	if refused != 1 || ended != 1 {
		t.Errorf("%d refused, %d ended, want one of each", refused, ended)
	}
}
