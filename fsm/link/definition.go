package link

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
)

// source is one source's part of the table.
type source struct {
	definitions map[string]*definition   // by label
	names       map[string][]*definition // by name: the definitions that have it, by label; the first decides
}

// definition is what a source says of a link. Apart from stated it never changes.
type definition struct {
	label  string
	link   binding.LinkID
	names  []string     // sorted
	relays []netip.Addr // sorted
	stated bool         // whether it was stated since the source's newest BeginSweep
}

// reference is a definition and whose it is.
type reference struct {
	source     string
	definition *definition
}

// Effect tells what a changed definition may mean for bindings: which of them may belong on another link now. Its lists are
// sorted and without duplicates.
type Effect struct {
	Source   string         // whose names they are
	Names    []string       // names that mean another link than before, or a link where they meant none
	Prefixes []netip.Prefix // prefixes that another configured link has than before, or that none has any more
	Relays   []netip.Addr   // link-addresses that other links list as a relay's than before
	Changed  bool           // whether anything changed at all, a label that moves nothing included
}

// None tells whether the definition was what the table had already.
func (e Effect) None() bool { return !e.Changed }

// Define puts a valid definition in place of the one that the source has with its label, if any. It keeps nothing of l.
func (t *Table) Define(name string, l *binding.Link) Effect {
	prefixes := canonical(l.Prefixes, comparePrefixes)
	next := &definition{
		label:  l.Label,
		names:  canonical(l.Names, cmp.Compare[string]),
		relays: canonical(l.Relays, netip.Addr.Compare),
		stated: true,
	}
	old := t.definition(name, l.Label)
	if old != nil && slices.Equal(t.links.Prefixes(old.link), prefixes) &&
		slices.Equal(old.names, next.names) && slices.Equal(old.relays, next.relays) {
		old.stated = true
		return Effect{Source: name}
	}
	next.link = t.find(prefixes)
	return t.replace(name, old, next)
}

// Remove takes a source's definition away. A link that no source defines stays while it has client records.
func (t *Table) Remove(name, label string) Effect {
	if d := t.definition(name, label); d != nil {
		return t.replace(name, d, nil)
	}
	return Effect{Source: name}
}

// definition is what the source says of the link with this label; nil for nothing.
func (t *Table) definition(name, label string) *definition {
	if s := t.sources[name]; s != nil {
		return s.definitions[label]
	}
	return nil
}

// BeginSweep begins a full restatement of a source's definitions: those not defined again by EndSweep are removed by it.
func (t *Table) BeginSweep(name string) {
	if s := t.sources[name]; s != nil {
		for _, d := range s.definitions {
			d.stated = false
		}
	}
}

// EndSweep removes the source's definitions that were not stated since the newest BeginSweep.
func (t *Table) EndSweep(name string) Effect {
	s := t.sources[name]
	if s == nil {
		return Effect{Source: name}
	}
	e := Effect{Source: name}
	for _, label := range slices.Sorted(maps.Keys(s.definitions)) {
		if d := s.definitions[label]; !d.stated {
			one := t.replace(name, d, nil)
			e.Names = append(e.Names, one.Names...)
			e.Prefixes = append(e.Prefixes, one.Prefixes...)
			e.Relays = append(e.Relays, one.Relays...)
			e.Changed = true
		}
	}
	return e.canonical()
}

// replace puts the definition next of a source in place of old; either may be nil.
func (t *Table) replace(name string, old, next *definition) Effect {
	s := t.sources[name]
	if s == nil {
		s = &source{definitions: map[string]*definition{}, names: map[string][]*definition{}}
		t.sources[name] = s
	}
	before := map[string]binding.LinkID{}
	for _, d := range []*definition{old, next} {
		if d != nil {
			for _, n := range d.names {
				before[n] = s.meaning(n)
			}
		}
	}
	e := Effect{Source: name, Changed: true}
	// The new one first: a link that only changes its label must not go away in between.
	if next != nil {
		t.refer(&e, name, s, next)
	}
	if old != nil {
		t.forget(&e, name, s, old)
	}
	if next != nil {
		s.definitions[next.label] = next
	} else if delete(s.definitions, old.label); len(s.definitions) == 0 {
		delete(t.sources, name)
	}
	for n, id := range before {
		if s.meaning(n) != id {
			e.Names = append(e.Names, n)
		}
	}
	return e.canonical()
}

// meaning is the link that a name stands for; 0 for none.
func (s *source) meaning(name string) binding.LinkID {
	if ds := s.names[name]; len(ds) > 0 {
		return ds[0].link
	}
	return 0
}

// refer adds a definition to its link and its names.
func (t *Table) refer(e *Effect, name string, s *source, d *definition) {
	for _, n := range d.names {
		at, _ := slices.BinarySearchFunc(s.names[n], d.label, labelOrder)
		s.names[n] = slices.Insert(s.names[n], at, d)
	}
	refs := t.defined[d.link]
	if len(refs) == 0 {
		for p := range t.links.record(d.link).prefixes {
			t.yield(&t.others, p, d.link)
			if t.claim(&t.configured, p, d.link) {
				e.Prefixes = append(e.Prefixes, p)
			}
		}
	}
	at, _ := slices.BinarySearchFunc(refs, reference{name, d}, referenceOrder)
	t.defined[d.link] = slices.Insert(refs, at, reference{name, d})
	t.describe(e, d.link)
}

// forget takes a definition from its link and its names.
func (t *Table) forget(e *Effect, name string, s *source, d *definition) {
	for _, n := range d.names {
		ds := slices.DeleteFunc(s.names[n], func(x *definition) bool { return x == d })
		if s.names[n] = ds; len(ds) == 0 {
			delete(s.names, n)
		}
	}
	refs := slices.DeleteFunc(t.defined[d.link], func(r reference) bool { return r.definition == d })
	if t.defined[d.link] = refs; len(refs) == 0 {
		delete(t.defined, d.link)
		for p := range t.links.record(d.link).prefixes {
			if t.yield(&t.configured, p, d.link) {
				e.Prefixes = append(e.Prefixes, p)
			}
			t.claim(&t.others, p, d.link)
		}
	}
	t.describe(e, d.link)
	t.drop(d.link)
}

func labelOrder(d *definition, label string) int { return cmp.Compare(d.label, label) }

func referenceOrder(a, b reference) int {
	return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.definition.label, b.definition.label))
}

// canonical is e with its lists sorted and without duplicates.
func (e Effect) canonical() Effect {
	e.Names = canonical(e.Names, cmp.Compare[string])
	e.Prefixes = canonical(e.Prefixes, comparePrefixes)
	e.Relays = canonical(e.Relays, netip.Addr.Compare)
	return e
}

// comparePrefixes orders prefixes by address, then length.
func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// canonical is a sorted copy of list without duplicates; nil when that is empty.
func canonical[T comparable](list []T, order func(a, b T) int) []T {
	if len(list) == 0 {
		return nil
	}
	list = slices.Clone(list)
	slices.SortFunc(list, order)
	return slices.Compact(list)
}
