package store

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
)

// TestReadersWhileWriting has readers take views, hold several at once and read them twice, while bindings come, are renewed
// and end. Under the race detector it shows that nothing a view sees is written, nor used again too early.
func TestReadersWhileWriting(t *testing.T) {
	const clients, rounds, readers = 300, 60, 4
	s := New()
	benchLinks(s)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for reader := range readers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(reader), 1))
			type heldOne struct {
				view *View
				hash [32]byte
			}
			var views []heldOne
			for last := false; !last; {
				select {
				case <-done:
					last = true
				default:
				}
				v := s.View()
				views = append(views, heldOne{v, v.Hash()})
				if i := r.IntN(len(views)); len(views) > 3 || last {
					if views[i].view.Hash() != views[i].hash {
						t.Error("a view changed while it was held")
					}
					views[i].view.Release()
					views = append(views[:i], views[i+1:]...)
				}
			}
			for _, h := range views {
				if h.view.Hash() != h.hash {
					t.Error("a view changed while it was held")
				}
				h.view.Release()
				h.view.Release() // only the first counts
			}
		})
	}
	write(s, clients, rounds)
	close(done)
	wg.Wait()
	s.Advance(s.index+1, s.clock)
	if n := len(s.epochs.pins); n != 0 {
		t.Errorf("%d pins are left when all views are released", n)
	}
}

// write lets clients come, renew and go.
func write(s *Store, clients, rounds int) {
	r := rand.New(rand.NewPCG(8, 9))
	var g generator
	for round := range rounds {
		now := benchStart + binding.Time(round)*10_000
		for range 40 {
			g.client(r.IntN(clients), now)
		}
		for i := range g.changes {
			if r.IntN(4) == 0 {
				g.changes[i].Event, g.changes[i].Reason = binding.End, binding.Released
			}
		}
		s.Apply(Batch{Index: uint64(round + 2), Clock: now, Source: "kea", Changes: g.changes})
		g.reset()
		s.Maintain(uint64(round+2), now, 10)
	}
}

// TestPinnedGrowsAndGoes checks what a view says that it costs.
func TestPinnedGrowsAndGoes(t *testing.T) {
	s := New()
	write(s, 100, 3)
	v, w := s.View(), s.View()
	if v.Pinned() != 0 {
		t.Fatalf("%d octets pinned before anything was written", v.Pinned())
	}
	write(s, 100, 3)
	if v.Pinned() == 0 || v.Pinned() != w.Pinned() {
		t.Fatalf("%d and %d octets pinned after writes", v.Pinned(), w.Pinned())
	}
	v.Release()
	w.Release()
	s.Advance(10, 0)
	if len(s.epochs.pins) != 0 || len(s.epochs.free.pages) == 0 {
		t.Fatal("released views give nothing back")
	}
}

// TestViewsKeepTogether holds a view after each of many writes: the oldest one says what all of them keep, whichever are released between,
// and letting go of the oldest ones bounds it.
func TestViewsKeepTogether(t *testing.T) {
	s := New()
	write(s, 2000, 10)
	kept := func() (octets int64) {
		for _, p := range s.epochs.pins {
			octets += p.bytes.Load()
		}
		return octets
	}
	var held []*View
	for range 40 {
		held = append(held, s.View())
		write(s, 2000, 3)
	}
	for _, n := range []int{39, 20, 1} { // the newest, one between, and the one behind the oldest
		held[n].Release()
		held = append(held[:n], held[n+1:]...)
		s.Advance(100, 0)
		if got := held[0].Kept(); got == 0 || got != kept() {
			t.Fatalf("the oldest of %d views says that %d octets are kept, there are %d", len(held), got, kept())
		}
	}
	last := held[len(held)-1]
	if last.Kept() != last.Pinned() || last.Kept() >= held[0].Kept() {
		t.Errorf("the newest view keeps %d octets, of which %d alone; the oldest and all behind it %d", last.Kept(), last.Pinned(), held[0].Kept())
	}
	for bound := kept() / 4; held[0].Kept() > bound; held = held[1:] {
		held[0].Release()
		if s.Advance(100, 0); held[1].Kept() != kept() {
			t.Fatalf("the oldest of %d views says that %d octets are kept, there are %d", len(held)-1, held[1].Kept(), kept())
		}
	}
	for _, v := range held {
		v.Release()
	}
	s.Advance(101, 0)
	if kept() != 0 || len(s.epochs.pins) != 0 {
		t.Errorf("%d octets are kept for nobody", kept())
	}
}

// FuzzRestore reads octets that are no snapshot, or were one. What is accepted must be written again as it was.
func FuzzRestore(f *testing.F) {
	s := New()
	write(s, 20, 3)
	v := s.Snapshot()
	defer v.Release()
	var buf bytes.Buffer
	if _, err := v.WriteTo(&buf); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Restore(bytes.NewReader(b))
		if err != nil {
			return
		}
		v := s.View()
		defer v.Release()
		v.Hash()
		if _, err := v.WriteTo(&bytes.Buffer{}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestRestoreOfEveryPrefixFails cuts a snapshot short at every octet.
func TestRestoreOfEveryPrefixFails(t *testing.T) {
	s := New()
	write(s, 10, 1)
	v := s.Snapshot()
	defer v.Release()
	var buf bytes.Buffer
	n, err := v.WriteTo(&buf)
	if err != nil || n != int64(buf.Len()) {
		t.Fatal(n, err)
	}
	for i := range buf.Len() {
		if _, err := Restore(bytes.NewReader(buf.Bytes()[:i])); err == nil {
			t.Fatalf("%d octets of %d are accepted", i, buf.Len())
		}
	}
}
