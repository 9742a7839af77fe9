package fsm

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
)

// endOf is the newest end of client n's address, of whoever had it.
func endOf(t *testing.T, f *FSM, n int) (end binding.Entry) {
	t.Helper()
	v := f.View()
	defer v.Release()
	var c binding.Client
	for cursor := v.Select(binding.Query{By: binding.ByAddress, Key: binding.Key{Prefix: address(n)}, Ended: true}); cursor.Next(&c); {
		for _, e := range c.Entries {
			if e.State != binding.Active && e.Prefix == address(n) && e.Change > end.Change {
				end = e
			}
		}
	}
	if end.Change == 0 {
		t.Fatalf("no end of %v", address(n))
	}
	return end
}

// TestEndsThatNoSourceReports have the client's last transaction from level 3 on, and had the time of the end before. An end that a
// source reports has the time that it says.
func TestEndsThatNoSourceReports(t *testing.T) {
	for _, raised := range []bool{false, true} {
		b, f := newLog(t), newFSM(t)
		if raised {
			apply(t, f, b.add(AppendLevel(nil, lastLevel), nil))
		}
		s := Session{Source: "kea", Epoch: 1}
		next := func() Session { s.Sequence++; return s }
		brief := upsert(1)
		brief.Binding.Valid = 60
		apply(t, f, b.changes(next(), brief, upsert(2), upsert(3), upsert(4)))
		said := b.clock - 1000
		taken, moved := upsert(2), upsert(4)
		taken.Binding.DUID = []byte("another")
		moved.Binding.Chain, moved.Binding.LinkName = nil, nil
		b.clock += 70_000
		apply(t, f, b.changes(next(), taken, release(3), moved))
		apply(t, f, b.tick(10))
		f = restore(t, snapshotOf(t, f))
		ended := map[int]binding.State{1: binding.Expired, 2: binding.Reassigned, 3: binding.Released, 4: binding.Moved}
		for n, state := range ended {
			want := b.clock
			switch {
			case n == 3:
				want = b.clock - 500
			case raised:
				want = said
			}
			if e := endOf(t, f, n); e.State != state || e.LastTransaction != want || e.Changed != b.clock {
				t.Errorf("raised %v: end of %d is %v at %d, last transaction %d; want %v, %d", raised, n, e.State, e.Changed, e.LastTransaction, state, want)
			}
		}
		// News from another source is weighed against when it ended, at either level: what was said before the end loses.
		late, other := upsert(1), Session{Source: "other", Epoch: 99}
		for _, late.AgeMS = range []int64{1000, 1, 0} {
			other.Sequence++
			if r := apply(t, f, b.changes(other, late)); r.Counts.Ignored != 1 {
				t.Errorf("raised %v: news of %d ms before the end: %+v", raised, late.AgeMS, r.Counts)
			}
		}
		other.Sequence++
		b.clock += 2000
		late.AgeMS = 1999
		if r := apply(t, f, b.changes(other, late)); r.Counts.Changed != 1 {
			t.Errorf("raised %v: news of a millisecond after the end: %+v", raised, r.Counts)
		}
	}
}

// TestEndsOfALevelBeforeStay compares two state machines of which one goes on to level 3 only behind the ends.
func TestEndsOfALevelBeforeStay(t *testing.T) {
	b, f := newLog(t), newFSM(t)
	brief := upsert(1)
	brief.Binding.Valid = 60
	apply(t, f, b.changes(Session{Source: "kea", Epoch: 1, Sequence: 1}, brief))
	b.clock += 100_000
	apply(t, f, b.tick(10))
	before := endOf(t, f, 1)
	apply(t, f, b.add(AppendLevel(nil, lastLevel), nil))
	for _, m := range []*FSM{f, restore(t, snapshotOf(t, f))} {
		if e := endOf(t, m, 1); e.LastTransaction != before.LastTransaction || e.LastTransaction != b.clock {
			t.Errorf("end at %d, %d before the level was raised", e.LastTransaction, before.LastTransaction)
		}
	}
}

// TestRestoreEqualsReplayWhenLevelsAreRaised raises the level somewhere in a log, and takes a snapshot somewhere.
func TestRestoreEqualsReplayWhenLevelsAreRaised(t *testing.T) {
	own := 0
	rapid.Check(t, func(t *rapid.T) {
		b := drawMoves(t)
		logs := b.logs
		at := rapid.IntRange(0, len(logs)).Draw(t, "raised behind")
		level := b.add(AppendLevel(nil, rapid.Uint32Range(hashedLevel, MaxLevel).Draw(t, "level")), nil)
		logs = append(append(logs[:at:at], level), logs[at:]...)
		for i, l := range logs {
			l.Index = uint64(i + 1)
		}
		cut := rapid.IntRange(0, len(logs)).Draw(t, "snapshot behind")
		whole, restored := newFSM(t), restore(t, snapshotAfter(t, logs[:cut]))
		whole.ApplyBatch(logs)
		restored.ApplyBatch(logs[cut:])
		if x, y := snapshotOf(t, whole), snapshotOf(t, restored); !bytes.Equal(x, y) {
			t.Fatalf("snapshots of %d and %d octets differ at %d", len(x), len(y), firstDifference(x, y))
		}
		v := whole.View()
		defer v.Release()
		var c binding.Client
		for cursor := v.Select(binding.Query{Ended: true}); cursor.Next(&c); {
			for _, e := range c.Entries {
				if e.State == binding.Moved && e.LastTransaction != e.Changed {
					own++
				}
			}
		}
	})
	if own == 0 {
		t.Error("no log has an end that keeps a last transaction")
	}
}
