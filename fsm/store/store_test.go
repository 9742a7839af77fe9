package store

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
)

// heldView is a view that is still held, and what it showed when it was taken.
type heldView struct {
	view *View
	all  []shown
	hash [32]byte
}

// machine drives a store and the model side by side.
type machine struct {
	store *Store
	model *model
	index uint64
	views []heldView
	steps int
}

func (x *machine) apply(t *rapid.T) {
	x.index++
	b := Batch{Index: x.index, Clock: x.model.clock, Source: rapid.SampledFrom(worldSources).Draw(t, "source")}
	for range rapid.IntRange(1, 4).Draw(t, "changes") {
		b.Changes = append(b.Changes, drawChange(t, x.model.clock))
	}
	c := x.store.Apply(b)
	if n := c.Changed + c.Unchanged + c.Ignored; n != uint64(len(b.Changes)) {
		t.Fatalf("%d changes counted of %d", n, len(b.Changes))
	}
	for i := range b.Changes {
		x.model.apply(b.Source, &b.Changes[i])
	}
}

func (x *machine) resync(t *rapid.T) {
	x.index++
	name := rapid.SampledFrom(worldSources).Draw(t, "source")
	src := x.model.source(name)
	if src.resyncing {
		x.store.EndResync(x.index, x.model.clock, name)
		src.resyncing, src.sweeping = false, true
		if src.links {
			src.links = false
			x.model.links.EndSweep(name)
			x.model.settle()
		}
		return
	}
	src.gen++
	src.resyncing, src.sweeping = true, false
	src.links = rapid.Bool().Draw(t, "links")
	if src.links {
		x.model.links.BeginSweep(name)
	}
	x.store.BeginResync(x.index, x.model.clock, name, src.links)
}

func (x *machine) tick(t *rapid.T) {
	x.model.clock += binding.Time(rapid.SampledFrom([]int{1, 500, 1000, 15_000, 700_000}).Draw(t, "milliseconds"))
}

func (x *machine) maintain(t *rapid.T) {
	for {
		x.index++
		before := x.store.View()
		rank := map[[2]string]int{}
		for i, c := range collect(before, before.Changes(0)) {
			rank[[2]string{c.Home, c.DUID}] = i
		}
		c, more := x.store.Maintain(x.index, x.model.clock, 1)
		after := x.store.View()
		x.model.tended(c, func(b *held) int { return rank[[2]string{b.home, string(b.DUID)}] }, func(b *held) bool {
			var cl binding.Client
			cur := after.Select(binding.Query{By: binding.ByAddress, Key: b.Key()})
			return !cur.Next(&cl)
		})
		before.Release()
		after.Release()
		if !more {
			break
		}
	}
	if !x.model.idle() {
		t.Fatal("nothing more to maintain, but something is due")
	}
	for _, src := range x.model.sources {
		src.sweeping = false
	}
}

func (x *machine) hold(*rapid.T) {
	v := x.store.View()
	x.views = append(x.views, heldView{v, collect(v, v.Changes(0)), v.Hash()})
}

func (x *machine) release(t *rapid.T) {
	if len(x.views) == 0 {
		return
	}
	i := rapid.IntRange(0, len(x.views)-1).Draw(t, "view")
	if err := x.views[i].same(); err != nil {
		t.Fatal(err)
	}
	x.views[i].view.Release()
	x.views = slices.Delete(x.views, i, i+1)
}

func (h *heldView) same() error {
	if d := gocmp.Diff(h.all, collect(h.view, h.view.Changes(0))); d != "" {
		return fmt.Errorf("a view changed (-when taken +now):\n%s", d)
	}
	if h.view.Hash() != h.hash {
		return fmt.Errorf("the hash of a view changed")
	}
	return nil
}

func (x *machine) restore(t *rapid.T) {
	v := x.store.Snapshot()
	defer v.Release()
	var first, second bytes.Buffer
	if _, err := v.WriteTo(&first); err != nil {
		t.Fatal(err)
	}
	s, err := restore(bytes.NewReader(first.Bytes()), x.store.hash)
	if err != nil {
		t.Fatal(err)
	}
	w := s.View()
	defer w.Release()
	if _, err := w.WriteTo(&second); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Fatal("a restored store writes another snapshot")
	}
	s.crowd, s.keepLast, s.revive = x.store.crowd, x.store.keepLast, x.store.revive
	s.Continue(x.store)
	for _, h := range x.views {
		if err := h.same(); err != nil {
			t.Fatal(err)
		}
	}
	x.views = nil
	x.store = s
}

func (x *machine) setHistory(t *rapid.T) {
	seconds := rapid.SampledFrom([]int{0, 10, 600}).Draw(t, "seconds")
	x.store.SetHistory(time.Duration(seconds) * time.Second)
	x.model.history = binding.Time(seconds * 1000)
}

func (x *machine) keepLast(*rapid.T) {
	x.store.KeepLastTransaction()
	x.model.keepLast = true
}

func (x *machine) revive(*rapid.T) {
	x.store.ReviveSwept()
	x.model.revive = true
}

// check compares with the model after each step: all clients, and every fifth time everything that can be asked.
func (x *machine) check(t *rapid.T) {
	x.steps++
	x.compare(t, x.steps%5 == 0)
}

func (x *machine) compare(t *rapid.T, everything bool) {
	v := x.store.View()
	defer v.Release()
	compare := checkAll
	if everything {
		compare = check
	}
	if err := compare(v, x.model); err != nil {
		t.Fatal(err)
	}
}

func testMachine(t *testing.T, h hasher) {
	rapid.Check(t, func(t *rapid.T) {
		x := &machine{store: newStore(h), model: newModel()}
		x.model.clock = 1_000_000
		x.store.crowd = rapid.SampledFrom([]int{1, 2, crowd}).Draw(t, "crowd")
		t.Repeat(map[string]func(*rapid.T){
			"apply": x.apply, "apply again": x.apply, "apply once more": x.apply, "resync": x.resync, "tick": x.tick,
			"maintain": x.maintain, "hold": x.hold, "release": x.release, "restore": x.restore, "set history": x.setHistory,
			"keep the last transaction": x.keepLast, "revive what was swept": x.revive,
			"": x.check,
		})
		x.compare(t, true)
		for i := range x.views {
			if err := x.views[i].same(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestStoreEqualsLinearScan(t *testing.T) { testMachine(t, hasher{}) }

func TestStoreEqualsLinearScanWithCollidingHashes(t *testing.T) { testMachine(t, hasher{values: 3}) }
