package link

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
)

// A small world, in which prefixes nest and collide.
var (
	worldPrefixes = prefixes("2001:db8::/32", "2001:db8::/40", "2001:db8::/48", "2001:db8::/64", "2001:db8:0:1::/64", "2001:db8:0:1::/80",
		"2001:db8:1::/48", "2001:db8:1::/56", "2001:db8:1:1::/64", "fd00::/64", "::/0")
	worldAddrs = addrs("2001:db8::1", "2001:db8:0:1::1", "2001:db8:0:1:1::1", "2001:db8:1::1", "2001:db8:1:1::1", "fd00::1", "2001:db8:ffff::1")
	worldNames = []string{"1", "2", "3"}
)

func prefixes(in ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range in {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func addrs(in ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range in {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func drawSource() *rapid.Generator[string] { return rapid.SampledFrom([]string{"kea-a", "kea-b"}) }
func drawLabel() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"cellar", "attic", "barn"})
}

func drawLink() *rapid.Generator[binding.Link] {
	return rapid.Custom(func(t *rapid.T) binding.Link {
		return binding.Link{
			Label:    drawLabel().Draw(t, "label"),
			Names:    rapid.SliceOfN(rapid.SampledFrom(worldNames), 0, 2).Draw(t, "names"),
			Prefixes: rapid.SliceOfN(rapid.SampledFrom(worldPrefixes), 1, 3).Draw(t, "prefixes"),
			Relays:   rapid.SliceOfN(rapid.SampledFrom(worldAddrs), 0, 2).Draw(t, "relays"),
		}
	})
}

// allFacts is every kind of binding that the small world can have, but for anchored ones.
func allFacts() []Facts {
	var out []Facts
	for _, source := range []string{"kea-a", "kea-b"} {
		for _, name := range append(worldNames, "") {
			for _, a := range append(worldAddrs, netip.Addr{}) {
				out = append(out,
					Facts{Source: source, Name: []byte(name), LinkAddress: a, Prefix: netip.MustParsePrefix("2001:db8:0:1::5/128")},
					Facts{Source: source, Name: []byte(name), LinkAddress: a, Prefix: netip.MustParsePrefix("2001:db8:1:100::/56"), Delegated: true})
			}
		}
	}
	return out
}

// machine runs a table beside its model.
type machine struct {
	table *Table
	model *model
	kept  []kept
	sweep map[string]map[string]bool // by source: what was stated since its sweep began
}

// kept is a snapshot, and what it looked like when it was taken.
type kept struct {
	links *Links
	looks string
}

func looks(l *Links) string {
	var b strings.Builder
	for id := range l.All() {
		fmt.Fprintln(&b, id, l.Prefixes(id), l.Relays(id), l.Labels(id), l.Representative(id))
	}
	for _, a := range worldAddrs {
		id, ok := l.Holding(a)
		fmt.Fprintln(&b, a, id, ok, l.Select(nil, a))
	}
	return b.String()
}

func (m *machine) home(t *rapid.T, f Facts) {
	var anchor string
	if f.Delegated && rapid.Bool().Draw(t, "anchored") {
		if all := slices.Sorted(maps.Keys(m.model.records)); len(all) > 0 {
			anchor = rapid.SampledFrom(all).Draw(t, "anchor")
			if f.Anchor = id(m.table.Snapshot(), anchor); f.Anchor == 0 {
				anchor = ""
			}
		}
	}
	want := m.model.home(f, anchor)
	got := m.table.Home(f)
	m.table.Acquire(got)
	m.model.records[want]++
	if got := string(m.table.Snapshot().Identity(got)); got != want {
		t.Fatalf("%+v is on %v, want %v", f, prefixesOf(got), prefixesOf(want))
	}
}

// changed checks that the effect names whatever decides the home of bindings that have another home than before.
func (m *machine) changed(t *rapid.T, before *model, e Effect) {
	if was, is := before.canonical(), m.model.canonical(); e.None() != (was == is) {
		t.Fatalf("effect %+v after %v became %v", e, was, is)
	}
	for _, f := range allFacts() {
		if was, is := before.home(f, ""), m.model.home(f, ""); was != is {
			named := f.Source == e.Source && slices.Contains(e.Names, string(f.Name))
			relayed := slices.Contains(e.Relays, f.LinkAddress)
			held := slices.ContainsFunc(e.Prefixes, func(p netip.Prefix) bool {
				if f.LinkAddress.IsValid() {
					return p.Contains(f.LinkAddress)
				}
				return p.Contains(f.Prefix.Addr())
			})
			if !named && !relayed && !held {
				t.Fatalf("%+v moved from %v to %v, which the effect %+v does not tell", f, prefixesOf(was), prefixesOf(is), e)
			}
		}
	}
}

func (m *machine) check(t *rapid.T) {
	l := m.table.Snapshot()
	var got, want []string
	for id := range l.All() {
		got = append(got, string(l.Identity(id)))
	}
	want = append(m.model.configured(), m.model.others()...)
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("links (-want +got):\n%s", diff)
	}
	if l.Len() != len(want) || m.table.Len() != len(want) {
		t.Fatalf("%d links, %d in the table, want %d", l.Len(), m.table.Len(), len(want))
	}
	for id := range l.All() {
		identity := string(l.Identity(id))
		same := func(a, b netip.Addr) bool { return a == b }
		for what, diff := range map[string]string{
			"prefixes":       cmp.Diff(prefixesOf(identity), l.Prefixes(id), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })),
			"relays":         cmp.Diff(m.model.relays(identity), l.Relays(id), cmp.Comparer(same)),
			"labels":         cmp.Diff(m.model.labels(identity), l.Labels(id)),
			"representative": cmp.Diff(m.model.representative(identity), l.Representative(id), cmp.Comparer(same)),
			"configured":     cmp.Diff(len(m.model.labels(identity)) > 0, l.Configured(id)),
		} {
			if diff != "" {
				t.Fatalf("%s of link %d %v (-want +got):\n%s", what, id, l.Prefixes(id), diff)
			}
		}
	}
	for _, a := range worldAddrs {
		held, ok := l.Holding(a)
		want := m.model.holding(a)
		if got := string(l.Identity(held)); got != want || ok != (want != "") {
			t.Fatalf("%v is held by %v, want %v", a, prefixesOf(got), prefixesOf(want))
		}
		var selected []string
		for _, id := range l.Select(nil, a) {
			selected = append(selected, string(l.Identity(id)))
		}
		all := m.model.listing(a)
		if want != "" {
			all = append(all, want)
		}
		slices.Sort(all)
		slices.Sort(selected)
		if diff := cmp.Diff(slices.Compact(all), selected); diff != "" {
			t.Fatalf("links selected by %v (-want +got):\n%s", a, diff)
		}
	}
}

func (m *machine) define(t *rapid.T, source string, l binding.Link) {
	before := m.model.clone()
	m.model.definitions[reportedAs{source, l.Label}] = l
	if s := m.sweep[source]; s != nil {
		s[l.Label] = true
	}
	m.changed(t, before, m.table.Define(source, &l))
}

func (m *machine) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"": m.check,
		"define": func(t *rapid.T) {
			m.define(t, drawSource().Draw(t, "source"), drawLink().Draw(t, "link"))
		},
		"define again": func(t *rapid.T) {
			for as, l := range m.model.definitions {
				l.Prefixes, l.Names = slices.Clone(l.Prefixes), slices.Clone(l.Names)
				slices.Reverse(l.Prefixes)
				slices.Reverse(l.Names)
				if s := m.sweep[as.source]; s != nil {
					s[as.label] = true
				}
				if e := m.table.Define(as.source, &l); !e.None() {
					t.Fatalf("the same definition has the effect %+v", e)
				}
				return
			}
		},
		"remove": func(t *rapid.T) {
			source, label := drawSource().Draw(t, "source"), drawLabel().Draw(t, "label")
			before := m.model.clone()
			delete(m.model.definitions, reportedAs{source, label})
			m.changed(t, before, m.table.Remove(source, label))
		},
		"begin sweep": func(t *rapid.T) {
			source := drawSource().Draw(t, "source")
			m.sweep[source] = map[string]bool{}
			m.table.BeginSweep(source)
		},
		"end sweep": func(t *rapid.T) {
			source := drawSource().Draw(t, "source")
			stated := m.sweep[source]
			if stated == nil {
				return
			}
			delete(m.sweep, source)
			before := m.model.clone()
			maps.DeleteFunc(m.model.definitions, func(as reportedAs, _ binding.Link) bool {
				return as.source == source && !stated[as.label]
			})
			m.changed(t, before, m.table.EndSweep(source))
		},
		"binding comes": func(t *rapid.T) {
			m.home(t, rapid.SampledFrom(allFacts()).Draw(t, "facts"))
		},
		"binding goes": func(t *rapid.T) {
			all := slices.Sorted(maps.Keys(m.model.records))
			if len(all) == 0 {
				return
			}
			identity := rapid.SampledFrom(all).Draw(t, "link")
			m.table.Release(id(m.table.Snapshot(), identity))
			if m.model.records[identity]--; m.model.records[identity] == 0 {
				delete(m.model.records, identity)
			}
		},
		"keep a snapshot": func(t *rapid.T) {
			l := m.table.Snapshot()
			m.kept = append(m.kept, kept{l, looks(l)})
		},
		"write and read": func(t *rapid.T) {
			b := m.table.AppendBinary(nil)
			table, err := ParseTable(b)
			if err != nil {
				t.Fatal(err)
			}
			if again := table.AppendBinary(nil); !bytes.Equal(again, b) {
				t.Fatalf("read and written again:\n%x\nwant\n%x", again, b)
			}
			if got, want := looks(table.Snapshot()), looks(m.table.Snapshot()); got != want {
				t.Fatalf("read again:\n%s\nwant\n%s", got, want)
			}
			m.table = table
		},
	}
}

func TestTableEqualsLinearScan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{table: New(), model: newModel(), sweep: map[string]map[string]bool{}}
		t.Repeat(m.actions())
		for i, k := range m.kept {
			if now := looks(k.links); now != k.looks {
				t.Fatalf("snapshot %d has changed from\n%s\nto\n%s", i, k.looks, now)
			}
		}
	})
}

// news is what one source says of links, in its order.
type news struct {
	source string
	link   binding.Link
	remove bool
}

func (n news) tell(t *Table) {
	if n.remove {
		t.Remove(n.source, n.link.Label)
		return
	}
	t.Define(n.source, &n.link)
}

// TestOrderOfSourcesDoesNotMatter tells the news of two sources, each in its own order but mixed in two ways, with bindings
// coming in between, and wants every binding on a link of the same identity.
func TestOrderOfSourcesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) news {
			return news{link: drawLink().Draw(t, "link"), remove: rapid.IntRange(0, 3).Draw(t, "remove") == 0}
		}), 0, 6)
		a, b := draw.Draw(t, "news of a"), draw.Draw(t, "news of b")
		homes := func(mix []bool) []string {
			table, left := New(), [2][]news{a, b}
			facts := allFacts()
			for _, second := range append(mix, slices.Repeat([]bool{false, true}, len(a)+len(b))...) {
				from := 0
				if second {
					from = 1
				}
				if len(left[from]) == 0 {
					continue
				}
				left[from][0].tell(table)
				left[from] = left[from][1:]
				for _, f := range facts[:7] {
					id := table.Home(f)
					table.Acquire(id)
					table.Release(id)
				}
			}
			var out []string
			for _, f := range facts {
				id := table.Home(f)
				out = append(out, string(table.Snapshot().Identity(id)))
				table.Acquire(id)
				table.Release(id)
			}
			return out
		}
		for i := range a {
			a[i].source = "kea-a"
		}
		for i := range b {
			b[i].source = "kea-b"
		}
		mix := rapid.SliceOfN(rapid.Bool(), 0, 12)
		if diff := cmp.Diff(homes(mix.Draw(t, "one way")), homes(mix.Draw(t, "another"))); diff != "" {
			t.Fatalf("homes differ (-one way +another):\n%s", diff)
		}
	})
}
