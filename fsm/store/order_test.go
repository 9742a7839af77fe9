package store

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
)

// news is what one source says of one key, or of its links, in its order.
type news struct {
	source  string
	changes []binding.Change
}

// drawNews draws what several sources say. All that is said of a key is about one client, no two sources speak of one
// moment, and where several have a key none ends it before the others' last word: the conflict table settles the rest by the
// order of the log, because an end that comes after an end is not remembered.
func drawNews(t *rapid.T) (all []news) {
	for i, a := range append(worldAddresses, worldPrefixes...) {
		first := binding.Change{Event: binding.Upsert}
		b := &first.Binding
		if p, err := netip.ParsePrefix(a); err == nil {
			b.Kind, b.Prefix = binding.PD, p.Masked()
		} else {
			b.Prefix = netip.PrefixFrom(netip.MustParseAddr(a), 128)
		}
		b.DUID = []byte(rapid.SampledFrom(worldDUIDs).Draw(t, "duid"))
		b.IAID = uint32(i)
		b.Valid, b.Preferred = 1000, 500
		sources := rapid.SliceOfNDistinct(rapid.SampledFrom(worldSources), 0, 3, rapid.ID).Draw(t, "sources")
		for n, source := range sources {
			one := news{source: source}
			for j := range rapid.IntRange(1, 4).Draw(t, "changes") {
				c := first
				c.Binding.LastTransaction = binding.Time(1_000_000 + (rapid.IntRange(0, 20).Draw(t, "later")+20*j)*10 + n)
				c.Binding.Stamp = uint32(c.Binding.LastTransaction)
				if len(sources) == 1 && rapid.IntRange(0, 2).Draw(t, "end") == 0 {
					c.Event, c.Reason = binding.End, binding.Released
				} else {
					c.Binding.LinkName = []byte(rapid.SampledFrom(worldNames).Draw(t, "name"))
					c.Binding.Chain = drawChain(t)
				}
				one.changes = append(one.changes, c)
			}
			if n == 1 && rapid.Bool().Draw(t, "last end") {
				c := binding.Change{Event: binding.End, Reason: binding.Expired, Binding: first.Binding}
				c.Binding.LastTransaction = 1_010_000
				one.changes = append(one.changes, c)
			}
			all = append(all, one)
		}
	}
	for _, source := range worldSources {
		for _, label := range []string{"x", "y"} {
			one := news{source: source}
			for range rapid.IntRange(0, 3).Draw(t, "definitions") {
				c := binding.Change{Event: rapid.SampledFrom([]binding.Event{3, 3, 4}).Draw(t, "event"), Link: drawLink(t)}
				c.Link.Label = label
				one.changes = append(one.changes, c)
			}
			all = append(all, one)
		}
	}
	return all
}

// TestHashDoesNotDependOnOrder applies the same news in several orders, each keeping the order of every source for every key,
// and cut into batches in different ways.
func TestHashDoesNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := drawNews(t)
		var hash [32]byte
		for round := range 3 {
			s := newStore(hasher{values: rapid.SampledFrom([]uint32{0, 3}).Draw(t, "hashes")})
			left := make([]int, len(all))
			var batch Batch
			flush := func() {
				batch.Index++
				batch.Clock = 2_000_000 + binding.Time(batch.Index)
				s.Apply(batch)
				batch.Changes = nil
			}
			for {
				var open []int
				for i := range all {
					if left[i] < len(all[i].changes) {
						open = append(open, i)
					}
				}
				if len(open) == 0 {
					break
				}
				i := rapid.SampledFrom(open).Draw(t, "next")
				if batch.Source != all[i].source || rapid.IntRange(0, 5).Draw(t, "cut") == 0 {
					flush()
				}
				batch.Source = all[i].source
				batch.Changes = append(batch.Changes, all[i].changes[left[i]])
				left[i]++
			}
			flush()
			v := s.View()
			if h := v.Hash(); round == 0 {
				hash = h
			} else if h != hash {
				t.Fatalf("round %d ends in another state", round)
			}
			v.Release()
		}
	})
}
