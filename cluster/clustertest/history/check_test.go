package history

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// put is a batch of a hand-made history.
func put(chain int, sequence uint32, call, ret time.Duration, version uint32, keys ...int) operation {
	w := &Write{Chain: chain, Sequence: sequence}
	for _, k := range keys {
		w.Keys |= One(k)
		w.To[k] = version
	}
	return operation{write: w, call: call, ret: ret, callOfClient: call}
}

// end is a batch that ends bindings.
func end(chain int, sequence uint32, call, ret time.Duration, keys ...int) operation {
	return put(chain, sequence, call, ret, 0, keys...)
}

func lost(o operation) operation {
	o.unknown = true
	return o
}

// saw is a read of the first keys.
func saw(call, ret, bound time.Duration, versions ...uint32) operation {
	o := operation{read: Read{Keys: All(len(versions)), Bound: bound}, call: call - bound, ret: ret, callOfClient: call}
	copy(o.read.Saw[:], versions)
	return o
}

// TestCheckersCanFail gives the checker histories made by hand, good ones and bad ones.
func TestCheckersCanFail(t *testing.T) {
	for _, tc := range []struct {
		name string
		ops  []operation
		good bool
	}{
		{"nothing", nil, true},
		{"in order", []operation{put(0, 1, 1, 2, 7, 0), saw(3, 4, 0, 7), end(0, 2, 5, 6, 0), saw(7, 8, 0, 0)}, true},
		{"stale strict read", []operation{put(0, 1, 1, 2, 7, 0), put(0, 2, 3, 4, 8, 0), saw(5, 6, 0, 7)}, false},
		{"read during the write sees the old or the new", []operation{put(0, 1, 1, 9, 7, 0), saw(2, 3, 0, 0), saw(4, 5, 0, 7)}, true},
		{"reads go back", []operation{put(0, 1, 1, 9, 7, 0), saw(2, 3, 0, 7), saw(4, 5, 0, 0)}, false},
		{"read of what nobody wrote", []operation{put(0, 1, 1, 2, 7, 0), saw(3, 4, 0, 9)}, false},
		{"read before the write", []operation{saw(1, 2, 0, 7), put(0, 1, 3, 4, 7, 0)}, false},
		{"lost write", []operation{put(0, 1, 1, 2, 7, 0), put(0, 2, 3, 4, 8, 1), saw(9, 10, 0, 7, 0)}, false},
		{"write lost from the middle", []operation{put(0, 1, 1, 2, 7, 0), put(1, 1, 1, 2, 8, 1), saw(9, 10, 0, 0, 8)}, false},
		{"write undone", []operation{put(0, 1, 1, 2, 7, 0), saw(3, 4, 0, 7), saw(5, 6, 0, 0)}, false},
		{"ended binding comes back", []operation{put(0, 1, 1, 2, 7, 0), end(0, 2, 3, 4, 0), saw(5, 6, 0, 7)}, false},
		{"torn bulk", []operation{put(0, 1, 1, 2, 7, 0, 1), put(0, 2, 3, 9, 8, 0, 1), saw(4, 5, 0, 8, 7)}, false},
		{"bulk during the write, whole", []operation{put(0, 1, 1, 2, 7, 0, 1), put(0, 2, 3, 9, 8, 0, 1), saw(4, 5, 0, 8, 8)}, true},
		{"bulk shows batch 2 of a chain and not batch 1", []operation{put(0, 1, 1, 9, 7, 0), put(0, 2, 2, 9, 8, 1), saw(3, 4, 0, 0, 8)}, false},
		{"bulk shows one chain and not yet the other", []operation{put(0, 1, 1, 9, 7, 0), put(1, 1, 2, 9, 8, 1), saw(3, 4, 0, 0, 8)}, true},
		{"bulk mixes two moments", []operation{
			put(0, 1, 1, 2, 7, 0), put(1, 1, 3, 4, 8, 1), put(0, 2, 5, 6, 9, 0), put(1, 2, 7, 8, 10, 1), saw(1, 9, 0, 9, 0)}, false},
		{"bounded read within its bound", []operation{put(0, 1, 1, 2, 7, 0), put(0, 2, 11, 12, 8, 0), saw(15, 16, 5, 7)}, true},
		{"bounded read out of its bound", []operation{put(0, 1, 1, 2, 7, 0), put(0, 2, 11, 12, 8, 0), saw(25, 26, 5, 7)}, false},
		{"unknown write seen", []operation{lost(put(0, 1, 1, 2, 7, 0)), saw(9, 10, 0, 7)}, true},
		{"unknown write not seen", []operation{lost(put(0, 1, 1, 2, 7, 0)), saw(9, 10, 0, 0)}, true},
		{"unknown write seen late", []operation{lost(put(0, 1, 1, 2, 7, 0)), saw(9, 10, 0, 0), saw(11, 12, 0, 7)}, true},
		{"unknown write comes and goes", []operation{lost(put(0, 1, 1, 2, 7, 0)), saw(9, 10, 0, 7), saw(11, 12, 0, 0)}, false},
		{"unknown write comes twice", []operation{
			lost(put(0, 1, 1, 2, 7, 0)), saw(9, 10, 0, 7), put(1, 1, 11, 12, 8, 0), saw(13, 14, 0, 8), saw(15, 16, 0, 7)}, false},
		{"chain acknowledged with a gap", []operation{put(0, 2, 1, 2, 7, 0)}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := NewRecorder(make([]Versions, 1))
			r.groups[0].ops = append(r.groups[0].ops, tc.ops...)
			err := r.Check(10 * time.Second)
			var v *Violation
			if tc.good && err != nil || !tc.good && !errors.As(err, &v) {
				t.Errorf("verdict: %v", err)
			}
			order, found, decided := find(Versions{}, tc.ops, 10*time.Second)
			if !decided || found != tc.good {
				t.Errorf("witness: %v, found %v, decided %v", order, found, decided)
			}
			if found && ask(Versions{}, narrowed(tc.ops, order), 10*time.Second) != porcupine.Ok {
				t.Errorf("porcupine does not take the witness %v", order)
			}
		})
	}
}

// TestWideReadsStayCheap has bounded reads that all overlap, one of them wrong: a search through their orders would not end.
func TestWideReadsStayCheap(t *testing.T) {
	for _, wrong := range []bool{false, true} {
		r := NewRecorder(make([]Versions, 1))
		g := &r.groups[0]
		for i := range uint32(200) {
			at := time.Duration(i) * 10
			g.ops = append(g.ops, put(0, i+1, at, at+2, i+1, 0), saw(at+3, at+4, 0, i+1), saw(at+5, at+6, 2000, i+1), saw(at+7, at+8, 2000, i+1))
		}
		if wrong {
			g.ops = append(g.ops, saw(1500, 1501, 300, 7))
		}
		var v *Violation
		if err := r.Check(10 * time.Second); errors.As(err, &v) != wrong || !wrong && err != nil {
			t.Errorf("wrong read %v: %v", wrong, err)
		}
	}
}

// TestViolationNamesTheRead hides one stale read among good ones.
func TestViolationNamesTheRead(t *testing.T) {
	r := NewRecorder(make([]Versions, 2))
	for i := range uint32(100) {
		at := time.Duration(i) * 10
		r.groups[1].ops = append(r.groups[1].ops, put(0, i+1, at, at+2, i+1, 0), saw(at+3, at+4, 0, i+1))
	}
	bad := saw(606, 607, 0, 60)
	r.groups[1].ops = append(r.groups[1].ops, bad)
	err := r.Check(10 * time.Second)
	var v *Violation
	if !errors.As(err, &v) || v.Group != 1 || v.Culprit != bad.String() || len(v.Around) == 0 {
		t.Fatalf("verdict: %v, want the read %s", err, bad.String())
	}
	if !strings.Contains(err.Error(), "0=60") {
		t.Errorf("message: %v", err)
	}
}

// TestRecorderAcceptsARealRegister runs clients against a group behind a lock, which is linearizable, and against one whose
// readers keep what they saw for a while, which is not.
func TestRecorderAcceptsARealRegister(t *testing.T) {
	if err := useRegister(false).Check(time.Minute); err != nil {
		t.Errorf("a register behind a lock: %v", err)
	}
	var v *Violation
	if err := useRegister(true).Check(time.Minute); !errors.As(err, &v) {
		t.Errorf("a register with readers that cache: %v", err)
	}
}

func useRegister(cache bool) *Recorder {
	r := NewRecorder(make([]Versions, 1))
	register := make(chan Versions, 1)
	register <- Versions{}
	var running sync.WaitGroup
	for client := range 4 {
		running.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(client), 1))
			var cached Versions
			for sequence := uint32(1); sequence <= 50; {
				call := r.Now()
				now := <-register
				if rng.IntN(2) == 0 {
					register <- now
					if !cache || rng.IntN(3) == 0 {
						cached = now
					}
					r.Saw(0, client, call, Read{Keys: All(MaxKeys), Saw: cached})
					continue
				}
				w := Write{Chain: client, Sequence: sequence, Keys: One(0) | One(client)}
				w.To[0] = uint32(client)*1000 + sequence
				w.To[client] = w.To[0]
				now[0], now[client] = w.To[0], w.To[0]
				register <- now
				r.Wrote(0, client, call, w)
				sequence++
			}
		})
	}
	running.Wait()
	return r
}
