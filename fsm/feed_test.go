package fsm

import (
	"slices"
	"sync"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
)

// fed is all that the feed has behind a number.
func fed(t testingT, f *FSM, after uint64) []binding.Mark {
	t.Helper()
	marks, ok := f.Feed().After(after, make([]binding.Mark, 0, f.Feed().Size()))
	if !ok {
		t.Fatalf("the feed does not reach back to %d", after)
	}
	return marks
}

// TestFeedIsTheSameOnEveryNode applies a log on nodes that Raft hands it to in other batches. One of them restores a snapshot in
// between: behind that its feed is the others'.
func TestFeedIsTheSameOnEveryNode(t *testing.T) {
	total := 0
	rapid.Check(t, func(t *rapid.T) {
		logs := drawMoves(t).logs
		one, other, late := newFSM(t), newFSM(t), newFSM(t)
		cut := rapid.IntRange(0, len(logs)).Draw(t, "cut")
		for _, l := range logs {
			one.Apply(l)
		}
		applyCut(t, other, logs)
		early := restore(t, snapshotAfter(t, logs[:cut]))
		from := newest(early)
		if err := late.Restore(closer{snapshotReader(t, early)}); err != nil {
			t.Fatal(err)
		}
		applyCut(t, late, logs[cut:])
		all := fed(t, one, 0)
		if !slices.Equal(all, fed(t, other, 0)) {
			t.Fatalf("changes differ: %v and %v", all, fed(t, other, 0))
		}
		i := slices.IndexFunc(append(all, binding.Mark{Change: ^uint64(0)}), func(m binding.Mark) bool { return m.Change > from })
		if got := fed(t, late, from); !slices.Equal(got, all[i:]) {
			t.Fatalf("behind the snapshot: %v, want %v", got, all[i:])
		}
		if _, ok := late.Feed().After(from-min(from, 1), nil); ok && from > 0 {
			t.Fatalf("the feed reaches back behind the snapshot, which is at %d", from)
		}
		if newest(one) != newest(other) || newest(one) != newest(late) || len(all) > 0 && newest(one) != all[len(all)-1].Change {
			t.Fatalf("newest changes %d, %d, %d", newest(one), newest(other), newest(late))
		}
		total += len(all)
	})
	if total == 0 {
		t.Error("no log changes anything")
	}
}

func newest(f *FSM) uint64 {
	v := f.View()
	defer v.Release()
	return v.Change()
}

// applyCut applies the entries in batches.
func applyCut(t *rapid.T, f *FSM, logs []*raft.Log) {
	for len(logs) > 0 {
		n := rapid.IntRange(1, len(logs)).Draw(t, "batch")
		f.ApplyBatch(logs[:n])
		logs = logs[n:]
	}
}

func snapshotAfter(t testingT, logs []*raft.Log) []byte {
	f := newFSM(t)
	f.ApplyBatch(logs)
	return snapshotOf(t, f)
}

// TestFeedTellsOfWhatChanged has one kind of news a row, and what subscribers are told of: the places of the changes, in order.
func TestFeedTellsOfWhatChanged(t *testing.T) {
	b, f := newLog(t), newFSM(t)
	s := Session{Source: "kea", Epoch: 1}
	next := func() Session { s.Sequence++; return s }
	elsewhere := upsert(1)
	elsewhere.Binding.Chain, elsewhere.Binding.LinkName = nil, nil
	renewed, another := upsert(2), upsert(2)
	renewed.Binding.Stamp++
	another.Binding.DUID, another.Binding.Stamp = []byte("another"), 99
	declined := release(2)
	declined.Binding.DUID, declined.Binding.IAID, declined.Reason, declined.AgeMS = nil, 0, binding.Declined, 0
	position := uint64(0)
	for _, tc := range []struct {
		name   string
		states []binding.State // of the changes, in order
		apply  func()
	}{
		{"two new ones in one entry", []binding.State{binding.Active, binding.Active}, func() { apply(t, f, b.changes(next(), upsert(1), upsert(2))) }},
		{"the same again", nil, func() { apply(t, f, b.changes(next(), upsert(1), upsert(2))) }},
		{"a batch that was applied before", nil, func() { apply(t, f, b.changes(s, upsert(3))) }},
		{"a resync of what is known", nil, func() {
			apply(t, f, b.begin(next(), true))
			apply(t, f, b.changes(next(), upsert(1), upsert(2)))
			apply(t, f, b.end(next()))
			sweepAll(t, f, b)
		}},
		{"a renewal", []binding.State{binding.Active}, func() { apply(t, f, b.changes(next(), renewed)) }},
		{"a move from its relay", []binding.State{binding.Active, binding.Moved}, func() { apply(t, f, b.changes(next(), elsewhere)) }},
		{"to another client", []binding.State{binding.Reassigned, binding.Active}, func() { apply(t, f, b.changes(next(), another)) }},
		{"declined", []binding.State{binding.Declined}, func() { apply(t, f, b.changes(next(), declined)) }},
		{"a resync without it", []binding.State{binding.Swept}, func() {
			apply(t, f, b.begin(next(), false))
			apply(t, f, b.end(next()))
			sweepAll(t, f, b)
		}},
		{"new", []binding.State{binding.Active}, func() { apply(t, f, b.changes(next(), upsert(4))) }},
		{"expired", []binding.State{binding.Expired}, func() { b.clock += 3600_000; apply(t, f, b.tick(10)) }},
		{"ends forgotten", nil, func() { b.clock += 100_000_000; sweepAll(t, f, b) }},
	} {
		changed := f.Feed().Changed()
		tc.apply()
		marks := fed(t, f, position)
		var got []binding.State
		v := f.View()
		for _, m := range marks {
			var c binding.Client
			if v.At(m, &c) {
				got = append(got, c.Entries[slices.IndexFunc(c.Entries, func(e binding.Entry) bool { return e.Change == m.Change })].State)
			}
			position = m.Change
		}
		if !slices.Equal(got, tc.states) || len(marks) != len(tc.states) || v.Change() != position {
			t.Errorf("%s: %d changes, %v, want %v; at %d of %d", tc.name, len(marks), got, tc.states, position, v.Change())
		}
		v.Release()
		select {
		case <-changed:
			if len(tc.states) == 0 {
				t.Errorf("%s: readers are woken for nothing", tc.name)
			}
		default:
			if len(tc.states) > 0 {
				t.Errorf("%s: readers are not woken", tc.name)
			}
		}
	}
}

// TestFollowersWhileApplying has subscribers read as fast as they can while entries are applied, some from a feed that is too small
// for them, and snapshots restored. Under the race detector it shows that readers and writer share nothing that they may not.
func TestFollowersWhileApplying(t *testing.T) {
	b, s := newLog(t), Session{Source: "kea", Epoch: 1}
	for round := range uint32(12) {
		b.clock += 1000
		feed(t, b, &s, 700, round)
		for n := range 20 {
			s.Sequence++
			b.changes(s, release(int(round)*20+n)) // of other DUIDs than feed's: ignored
		}
		b.clock += 4_000_000
		b.tick(300)
	}
	f := New(Config{FeedSize: 400, Halt: func(err error) { t.Errorf("halted: %v", err) }})
	last := uint64(len(b.logs))
	var readers sync.WaitGroup
	followers := []*follower{}
	for range 3 {
		s := newFollower(func(*binding.Entry) bool { return true })
		s.beside = true
		followers = append(followers, s)
	}
	for i, s := range followers {
		readers.Go(func() {
			for done := false; !done; {
				changed := f.Feed().Changed()
				done = f.Applied() == last
				for s.read(t, f, 50+i*300) {
				}
				if !done {
					<-changed
				}
			}
		})
	}
	half := len(b.logs) / 2
	for i := 0; i < half; i += 3 {
		f.ApplyBatch(b.logs[i:min(i+3, half)])
	}
	if err := f.Restore(closer{snapshotReader(t, f)}); err != nil {
		t.Fatal(err)
	}
	for _, l := range b.logs[half:] {
		f.Apply(l)
	}
	f.Feed().Restart(newest(f)) // wakes who has read everything but not seen the last entry applied
	readers.Wait()
	told := 0
	for _, s := range followers {
		s.same(t, f)
		told += s.told
	}
	if len(followers[0].table) == 0 || told == 0 {
		t.Errorf("%d leases at the end, %d told", len(followers[0].table), told)
	}
}
