package fsm

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSessions(t *testing.T) {
	type step struct {
		epoch, sequence uint64
		want            string
	}
	for name, steps := range map[string][]step{
		"in order":                    {{1, 1, "applied"}, {1, 2, "applied"}, {1, 3, "applied"}},
		"sent again":                  {{1, 1, "applied"}, {1, 1, "duplicate"}, {1, 2, "applied"}, {1, 1, "duplicate"}, {1, 2, "duplicate"}},
		"a gap":                       {{1, 1, "applied"}, {1, 3, "expected 2"}, {1, 2, "applied"}, {1, 3, "applied"}},
		"begins in the midst":         {{1, 2, "unknown epoch"}, {1, 1, "applied"}},
		"a new epoch":                 {{1, 1, "applied"}, {2, 1, "applied"}, {1, 2, "applied"}, {2, 2, "applied"}, {2, 2, "duplicate"}},
		"a new epoch in the midst":    {{1, 1, "applied"}, {2, 2, "unknown epoch"}},
		"the highest sequence number": {{1, 1, "applied"}, {1, 1<<64 - 1, "expected 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			b, f := newLog(t), newFSM(t)
			for i, s := range steps {
				r := apply(t, f, b.changes(Session{Source: "kea", Epoch: s.epoch, Sequence: s.sequence}, upsert(i)))
				if got := outcome(r); got != s.want {
					t.Errorf("batch %d of epoch %d: %s, want %s", s.sequence, s.epoch, got, s.want)
				}
				if applied := r.Counts.Changed == 1; applied != (s.want == "applied") || applied != live(f)[address(i).Addr()] {
					t.Errorf("batch %d of epoch %d: counts %+v, bindings %v", s.sequence, s.epoch, r.Counts, live(f))
				}
			}
		})
	}
}

func outcome(r Result) string {
	switch {
	case r.Err != nil:
		return r.Err.Error()
	case r.Duplicate:
		return "duplicate"
	case r.UnknownEpoch:
		return "unknown epoch"
	case r.Expected != 0:
		return fmt.Sprint("expected ", r.Expected)
	case r.Superseded:
		return "superseded"
	}
	return "applied"
}

func TestForgetsTheEpochThatWasQuietLongest(t *testing.T) {
	b, f := newLog(t), newFSM(t)
	send := func(epoch, sequence uint64) string {
		return outcome(apply(t, f, b.changes(Session{Source: "kea", Epoch: epoch, Sequence: sequence}, upsert(1))))
	}
	for epoch := range uint64(MaxEpochs) {
		send(epoch+1, 1)
	}
	send(1, 2) // epoch 1 speaks again: 2 is the quietest now
	send(100, 1)
	for epoch, want := range map[uint64]bool{1: true, 2: false, 3: true, MaxEpochs: true, 100: true} {
		if _, known := f.Session("kea", epoch); known != want {
			t.Errorf("epoch %d is known: %v, want %v", epoch, known, want)
		}
	}
	if got := send(2, 2); got != "unknown epoch" {
		t.Errorf("the next batch of the forgotten epoch: %s", got)
	}
	if got := send(3, 2); got != "applied" {
		t.Errorf("the next batch of an epoch that is remembered: %s", got)
	}
	if n := len(f.Sources()[0].Epochs); n != MaxEpochs {
		t.Errorf("%d epochs are remembered, want %d", n, MaxEpochs)
	}
}

func TestSourcesAreBounded(t *testing.T) {
	b, f := newLog(t), newFSM(t)
	send := func(name string, sequence uint64) Result {
		return apply(t, f, b.changes(Session{Source: name, Epoch: 1, Sequence: sequence}, upsert(1)))
	}
	for i := range MaxSources {
		if r := send(fmt.Sprint("kea-", i), 1); outcome(r) != "applied" {
			t.Fatalf("source %d: %s", i, outcome(r))
		}
	}
	r := send("one-too-many", 1)
	if !errors.Is(r.Err, ErrTooManySources) || r.Counts.Changed != 0 {
		t.Errorf("one source too many: %+v", r)
	}
	if _, known := f.Session("one-too-many", 1); known {
		t.Error("it is remembered")
	}
	if r := send("kea-5", 2); outcome(r) != "applied" {
		t.Errorf("a known source: %s", outcome(r))
	}
	g := restore(t, snapshotOf(t, f))
	if r := apply(t, g, b.changes(Session{Source: "one-too-many", Epoch: 1, Sequence: 1}, upsert(1))); !errors.Is(r.Err, ErrTooManySources) {
		t.Errorf("one source too many after a restore: %+v", r)
	}
}

func TestSourceStates(t *testing.T) {
	b, f := newLog(t), newFSM(t)
	apply(t, f, b.changes(Session{Source: "b", Epoch: 4, Sequence: 1}, upsert(1), upsert(2)))
	apply(t, f, b.begin(Session{Source: "a", Epoch: 5, Sequence: 1}, false))
	apply(t, f, b.begin(Session{Source: "c", Epoch: 6, Sequence: 1}, false))
	apply(t, f, b.end(Session{Source: "c", Epoch: 6, Sequence: 2}))
	want := []SourceState{
		{Name: "a", LastBatch: start, Resyncing: true, Epochs: []EpochState{{5, 1}}},
		{Name: "b", LastBatch: start, Bindings: 2, Epochs: []EpochState{{4, 1}}},
		{Name: "c", LastBatch: start, Sweeping: true, LastResync: start, Epochs: []EpochState{{6, 2}}},
	}
	if diff := cmp.Diff(want, f.Sources()); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
}
