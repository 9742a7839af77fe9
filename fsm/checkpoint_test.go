package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

// drawHashedLog is a random log in which the level is raised somewhere and checkpoints, as leaders propose them, follow.
func drawHashedLog(t *rapid.T) []*raft.Log {
	drawn := drawLog(t)
	at := rapid.IntRange(0, len(drawn)).Draw(t, "level is raised at")
	b, f := newLog(t), newFSM(t)
	take := func(l *raft.Log) {
		l.Index = uint64(len(b.logs) + 1)
		b.logs = append(b.logs, l)
		f.Apply(l)
	}
	for i := range len(drawn) + 1 {
		if i == at {
			f.Apply(b.raise())
		}
		if i < len(drawn) {
			take(drawn[i])
		}
		if i >= at && rapid.IntRange(0, 3).Draw(t, "checkpoint") == 0 {
			mark, _ := f.Checkpoint()
			f.Apply(b.add(AppendCheckpoint(nil, mark), nil))
		}
	}
	return b.logs
}

func TestRollingHashDoesNotDependOnCuts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		logs := drawHashedLog(t)
		whole := newFSM(t)
		whole.ApplyBatch(logs)
		want := snapshotOf(t, whole)
		mark, _ := whole.Checkpoint()
		pieces := newFSM(t)
		for rest := clone(logs); len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			pieces.ApplyBatch(rest[:n])
			for _, l := range rest[:n] {
				clear(l.Data)
			}
			rest = rest[n:]
		}
		if got := snapshotOf(t, pieces); !bytes.Equal(got, want) {
			t.Fatalf("applied in pieces: snapshots differ at octet %d", firstDifference(got, want))
		}
		restarted := newFSM(t) // from a snapshot, after every entry
		for _, l := range logs {
			restarted.Apply(l)
			restarted = restore(t, snapshotOf(t, restarted))
		}
		if got, _ := restarted.Checkpoint(); got != mark || restarted.chain != whole.chain || restarted.Level() != whole.Level() {
			t.Fatalf("restored after every entry: checkpoint %v, rolling hash %x, level %d; want %v, %x, %d",
				got, restarted.chain, restarted.Level(), mark, whole.chain, whole.Level())
		}
	})
}

// hashOf is the rolling hash after a log of a state machine that does not mind what checkpoints say.
func hashOf(logs []*raft.Log) uint64 {
	f := New(Config{Diverged: func(error) {}})
	f.ApplyBatch(logs)
	return f.chain
}

// levelled is a log at level 2 with some of everything.
func levelled(t testingT) []*raft.Log {
	b := newLog(t)
	b.raise()
	for _, l := range sample(t) {
		l.Index = uint64(len(b.logs) + 1)
		b.logs = append(b.logs, l)
	}
	b.add(AppendCheckpoint(nil, Checkpoint{1, 5}), nil)
	b.tick(3)
	return b.logs
}

func TestRollingHashTellsLogsApart(t *testing.T) {
	logs := levelled(t)
	seen := map[uint64]string{hashOf(logs): "the log"}
	tell := func(what string, changed []*raft.Log) {
		t.Helper()
		h := hashOf(changed)
		if other, taken := seen[h]; taken {
			t.Errorf("%s has the hash of %s", what, other)
		}
		seen[h] = what
	}
	for i, l := range logs {
		if l.Type != raft.LogCommand {
			continue
		}
		other := clone(logs)
		other[i].Term++
		tell(fmt.Sprintf("entry %d of another term", i+1), other)
		other = clone(logs)
		Seal(other[i].Data, start+99_999)
		tell(fmt.Sprintf("entry %d with another clock", i+1), other)
		other = clone(logs)
		other[i].Data = newLog(t).tick(uint32(777 + i)).Data
		tell(fmt.Sprintf("entry %d of other contents", i+1), other)
		if i > 0 {
			other = clone(logs)
			tell(fmt.Sprintf("without entry %d", i+1), slices.Delete(other, i, i+1))
		}
		for j := i + 1; i > 0 && j < len(logs); j++ {
			if logs[j].Type == raft.LogCommand {
				other = clone(logs)
				other[i].Data, other[j].Data = other[j].Data, other[i].Data
				tell(fmt.Sprintf("entries %d and %d the other way round", i+1, j+1), other)
			}
		}
	}
	for at := range 8 { // one octet of a binding's prefix, with a checksum that fits
		other := clone(logs)
		other[2].Data[bytes.Index(other[2].Data, []byte{128, 0x20, 1, 0x0d, 0xb8})+1+at] ^= 1
		reseal(other[2].Data)
		tell(fmt.Sprintf("octet %d of a prefix changed", at), other)
	}
	if len(seen) < 60 {
		t.Errorf("only %d logs were compared", len(seen))
	}
}

func TestRollingHashIsOfCommandsAlone(t *testing.T) {
	logs := levelled(t)
	want := hashOf(logs)
	without := slices.DeleteFunc(clone(logs), func(l *raft.Log) bool { return l.Type != raft.LogCommand })
	if len(without) == len(logs) {
		t.Fatal("the log has commands alone")
	}
	if got := hashOf(without); got != want {
		t.Errorf("hash %x without the changes of members, %x with them", got, want)
	}
}

func TestCheckpointIsCompared(t *testing.T) {
	b, f := newLog(t), newFSM(t)
	var told []error
	f.config.Diverged = func(err error) { told = append(told, err) }
	apply(t, f, b.raise())
	apply(t, f, b.tick(1))
	own, _ := f.Checkpoint()
	if r := apply(t, f, b.add(AppendCheckpoint(nil, own), nil)); r.Err != nil || len(told) > 0 {
		t.Fatalf("the own checkpoint: %+v, told %v", r, told)
	}
	next, _ := f.Checkpoint()
	if next.Index != 3 || next.Hash == own.Hash || next.Hash != f.chain {
		t.Errorf("checkpoint %v after entry 3, rolling hash %x", next, f.chain)
	}
	for _, stale := range []Checkpoint{own, {own.Index, 666}} { // of a leader whose proposal came late
		if apply(t, f, b.add(AppendCheckpoint(nil, stale), nil)); len(told) > 0 {
			t.Fatalf("checkpoint %v, older than %v: told %v", stale, next, told)
		}
	}
	next, _ = f.Checkpoint()
	if next.Index != 5 {
		t.Fatalf("checkpoint %v, want that of entry 5", next)
	}
	apply(t, f, b.tick(0)) // entry 6: no checkpoint, whatever the next says
	for _, tc := range []struct {
		agreed Checkpoint
		text   string
	}{
		{Checkpoint{5, next.Hash + 1}, fmt.Sprintf("diverged from the cluster: up to log entry 5 this node's entries have hash %016x, those of a majority of the voters %016x", next.Hash, next.Hash+1)},
		{Checkpoint{6, next.Hash}, "diverged from the cluster: a majority of the voters has a checkpoint at log entry 6 (hash "},
	} {
		told = nil
		g := restore(t, snapshotOf(t, f))
		g.config.Diverged = f.config.Diverged
		l := &raft.Log{Index: 7, Term: 3, Data: AppendCheckpoint(nil, tc.agreed)}
		Seal(l.Data, start)
		apply(t, g, l)
		var diverged *DivergedError
		if len(told) != 1 || !errors.As(told[0], &diverged) || !errors.Is(told[0], ErrDiverged) || !strings.Contains(told[0].Error(), tc.text) {
			t.Errorf("agreed %v: told %v, want once %q", tc.agreed, told, tc.text)
		} else if diverged.Agreed != tc.agreed || diverged.Own != next {
			t.Errorf("told %+v", diverged)
		}
		if g.Applied() != 7 {
			t.Errorf("applied %d: Raft must be able to go on", g.Applied())
		}
	}
}

// TestOtherEntryIsToldAtTheCheckpointAfterNext is what happens in a cluster: the checkpoint remembers the difference, the next
// tells it.
func TestOtherEntryIsToldAtTheCheckpointAfterNext(t *testing.T) {
	b, f := newLog(t), newFSM(t)
	var told error
	g := New(Config{Diverged: func(err error) { told = err }})
	both := func(l *raft.Log) { apply(t, f, l); apply(t, g, l) }
	both(b.raise())
	right := b.changes(Session{Source: "kea", Epoch: 1, Sequence: 1}, upsert(1))
	wrong := *right
	wrong.Data = newLog(t).changes(Session{Source: "kea", Epoch: 1, Sequence: 1}, upsert(2)).Data
	apply(t, f, right)
	apply(t, g, &wrong)
	for i := range 2 {
		if told != nil {
			t.Errorf("told before checkpoint %d: %v", i, told)
		}
		mark, due := f.Checkpoint()
		if !due {
			t.Errorf("checkpoint %d is not due", i)
		}
		both(b.add(AppendCheckpoint(nil, mark), nil))
	}
	if !errors.Is(told, ErrDiverged) {
		t.Errorf("told %v", told)
	}
	// It stays so, also over a restart from a snapshot, until a snapshot of the others is put in its place.
	told = nil
	h := restore(t, snapshotOf(t, g))
	h.config.Diverged = g.config.Diverged
	mark, _ := f.Checkpoint()
	l := b.add(AppendCheckpoint(nil, mark), nil)
	if apply(t, h, l); !errors.Is(told, ErrDiverged) {
		t.Errorf("told %v after a restart", told)
	}
	healed := restore(t, snapshotOf(t, f))
	if apply(t, healed, l); healed.Applied() != l.Index {
		t.Errorf("applied %d", healed.Applied())
	}
}

func TestDivergenceOfAStateMachineWithoutACallback(t *testing.T) {
	b := newLog(t)
	logs := []*raft.Log{b.raise(), b.add(AppendCheckpoint(nil, Checkpoint{1, 1}), nil)}
	defer func() {
		if err, ok := recover().(error); !ok || !errors.Is(err, ErrDiverged) {
			t.Errorf("recovered %v", err)
		}
	}()
	newFSM(t).ApplyBatch(logs)
	t.Error("went on")
}

func TestCheckpointAtLevel1IsADivergence(t *testing.T) {
	var told error
	f := New(Config{Diverged: func(err error) { told = err }})
	b := newLog(t)
	b.tick(1)
	apply(t, f, b.logs[0])
	if apply(t, f, b.add(AppendCheckpoint(nil, Checkpoint{1, 1}), nil)); !errors.Is(told, ErrDiverged) {
		t.Errorf("told %v: the entry that raised the level is missing here", told)
	}
}

func TestCheckpointIsDueForNews(t *testing.T) {
	b, f := newLog(t), newFSM(t)
	due := func(what string, want bool) {
		t.Helper()
		if _, got := f.Checkpoint(); got != want {
			t.Errorf("%s: due %v, want %v", what, got, want)
		}
	}
	checkpoint := func() { mark, _ := f.Checkpoint(); apply(t, f, b.add(AppendCheckpoint(nil, mark), nil)) }
	apply(t, f, b.tick(1))
	apply(t, f, b.changes(Session{Source: "kea", Epoch: 1, Sequence: 1}, upsert(1)))
	due("level 1", false)
	apply(t, f, b.raise())
	due("raised", false)
	for range enoughNews - 1 {
		apply(t, f, b.tick(1))
	}
	due("few ticks", false)
	apply(t, f, b.tick(1))
	due("many ticks", true)
	checkpoint()
	due("a checkpoint that none confirms", true)
	checkpoint()
	due("confirmed", false)
	apply(t, f, b.changes(Session{Source: "kea", Epoch: 1, Sequence: 2}, upsert(2)))
	due("a batch", true)
	checkpoint()
	checkpoint()
	due("confirmed again", false)
	f = restore(t, snapshotOf(t, f))
	due("after a restart, when nothing is known of what was applied", true)
}
