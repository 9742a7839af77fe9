package store

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
)

// allMarks is what Oldest must show, by a walk over everything.
func allMarks(v *View) (marks []binding.Mark) {
	var c binding.Client
	for w := v.Changes(0); w.Next(&c); {
		newest := uint64(0)
		for _, e := range c.Entries {
			newest = max(newest, e.Change)
		}
		for _, e := range c.Entries {
			if e.State != binding.Active || e.Change == newest {
				marks = append(marks, binding.Mark{Change: e.Change, Place: place(c.Link, v.hash.of(c.DUID))})
			}
		}
	}
	slices.SortFunc(marks, func(x, y binding.Mark) int { return cmp.Compare(x.Change, y.Change) })
	return marks
}

// checkOldest compares pages of Oldest, from each number on, with a walk.
func checkOldest(v *View, room int) error {
	all := allMarks(v)
	dst := make([]binding.Mark, 0, room)
	for from := range len(all) + 1 {
		after := uint64(0)
		if from > 0 {
			after = all[from-1].Change
		}
		got := v.Oldest(after, dst)
		if want := all[from:min(from+room, len(all))]; !slices.Equal(got, want) {
			return fmt.Errorf("oldest behind %d, %d at most: %v, want %v", after, room, got, want)
		}
	}
	if len(all) > 0 && v.Change() < all[len(all)-1].Change {
		return fmt.Errorf("change %d, but there is %d", v.Change(), all[len(all)-1].Change)
	}
	return nil
}

// checkAt asks for every entry by its mark, and for marks that there are not.
func checkAt(v *View) error {
	var c, got binding.Client
	for w := v.Changes(0); w.Next(&c); {
		for _, e := range c.Entries {
			m := binding.Mark{Change: e.Change, Place: place(c.Link, v.hash.of(c.DUID))}
			if !v.At(m, &got) {
				return fmt.Errorf("nothing at %v of client %q", m, c.DUID)
			}
			if got.Link != c.Link || string(got.DUID) != string(c.DUID) || len(got.Entries) != len(c.Entries) {
				return fmt.Errorf("at %v is client %q with %d entries, want %q with %d", m, got.DUID, len(got.Entries), c.DUID, len(c.Entries))
			}
			if !slices.EqualFunc(got.Entries, c.Entries, sameEntry) {
				return fmt.Errorf("at %v is %v, want %v", m, got.Entries, c.Entries)
			}
			for _, other := range []binding.Mark{{Change: e.Change + 1<<40, Place: m.Place}, {Change: e.Change, Place: m.Place + 1<<32}} {
				if v.At(other, &got) {
					return fmt.Errorf("there is %v, but also something at %v", m, other)
				}
			}
		}
	}
	return nil
}

func sameEntry(x, y binding.Entry) bool {
	return x.Kind == y.Kind && x.State == y.State && x.Prefix == y.Prefix && x.IAID == y.IAID && x.Preferred == y.Preferred && x.Valid == y.Valid &&
		x.LastTransaction == y.LastTransaction && x.Changed == y.Changed && x.Change == y.Change && x.Source == y.Source &&
		bytes.Equal(x.Chain, y.Chain) && bytes.Equal(x.Options, y.Options)
}

// checkEnded asks by everything there is, with ends.
func checkEnded(v *View) error {
	everything := collect(v, v.Changes(0))
	order := clientOrder(everything)
	for _, q := range endedQueries() {
		var want []shown
		var c binding.Client
		for w := v.Changes(0); w.Next(&c); {
			if slices.ContainsFunc(c.Entries, func(e binding.Entry) bool { return matchesQuery(q, &c, &e) }) {
				want = append(want, showClient(v, &c))
			}
		}
		got := collect(v, v.Select(q))
		last := -1
		for _, s := range got {
			if i := order[[2]string{s.Home, s.DUID}]; i <= last {
				return fmt.Errorf("%+v: out of order", q)
			} else {
				last = i
			}
		}
		if !reflect.DeepEqual(got, want) {
			return fmt.Errorf("%+v, ends too: %v, want %v", q, got, want)
		}
	}
	return nil
}

func endedQueries() []binding.Query {
	qs := []binding.Query{{}}
	for _, d := range worldDUIDs {
		qs = append(qs, binding.Query{By: binding.ByClientID, Value: []byte(d)})
	}
	for _, id := range worldIDs {
		qs = append(qs, binding.Query{By: binding.ByRelayID, Value: []byte(id)}, binding.Query{By: binding.ByRemoteID, Value: []byte(id)})
	}
	for _, k := range worldKeys() {
		qs = append(qs, binding.Query{By: binding.ByAddress, Key: k})
	}
	for i := range qs {
		qs[i].Ended = true
	}
	return qs
}

func matchesQuery(q binding.Query, c *binding.Client, e *binding.Entry) bool {
	switch q.By {
	case binding.ByAddress:
		return q.Key == binding.Key{Prefix: e.Prefix, Delegated: e.Kind == binding.PD}
	case binding.ByClientID:
		return string(q.Value) == string(c.DUID)
	case binding.ByRelayID:
		return e.Chain.HasRelayID(q.Value)
	case binding.ByRemoteID:
		return e.Chain.HasRemoteID(q.Value)
	}
	return true
}

// selection is what link-addresses selected a moment ago.
type selection struct {
	links   string
	changed uint64
}

// check wants LinksChanged to grow when anything is selected that was not, or is another link now.
func (s *selection) check(t *rapid.T, of *Store) {
	v := of.View()
	defer v.Release()
	links := ""
	for _, a := range append(worldRelays, worldAddresses...) {
		for _, id := range v.SelectLinks(nil, netip.MustParseAddr(a)) {
			links += fmt.Sprintf("%s: %d %x\n", a, id, v.Links().Identity(id))
		}
	}
	if links != s.links && v.LinksChanged() <= s.changed {
		t.Fatalf("%d changes of links after %d, selected were\n%s\nand are\n%s", v.LinksChanged(), s.changed, s.links, links)
	}
	s.links, s.changed = links, v.LinksChanged()
}

func (x *machine) checkHistory(t *rapid.T) {
	v := x.store.View()
	defer v.Release()
	for _, err := range []error{checkOldest(v, rapid.IntRange(1, 5).Draw(t, "room")), checkOldest(v, 1000), checkAt(v), checkEnded(v)} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func testHistory(t *testing.T, h hasher) {
	rapid.Check(t, func(t *rapid.T) {
		x := &machine{store: newStore(h), model: newModel()}
		x.model.clock = 1_000_000
		x.store.crowd = crowd
		var selected selection
		t.Repeat(map[string]func(*rapid.T){
			"apply": x.apply, "apply again": x.apply, "apply once more": x.apply, "resync": x.resync, "tick": x.tick,
			"maintain": x.maintain, "restore": x.restore, "set history": x.setHistory,
			"": func(t *rapid.T) {
				selected.check(t, x.store)
				if x.steps++; x.steps%8 == 0 {
					x.checkHistory(t)
				}
			},
		})
		x.checkHistory(t)
	})
}

func TestHistoryEqualsWalk(t *testing.T) { testHistory(t, hasher{}) }

func TestHistoryEqualsWalkWithCollidingHashes(t *testing.T) { testHistory(t, hasher{values: 3}) }
