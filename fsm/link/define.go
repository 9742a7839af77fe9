package link

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/leasehold/leasehold/fsm/binding"
)

// source is what one source has defined.
type source struct {
	definitions map[string]*definition // by label
	names       map[string][]string    // name to the labels that claim it, sorted: the first has it
}

// definition is one link as a source defined it, in canonical form.
type definition struct {
	id       binding.LinkID
	names    []string       // sorted
	prefixes []netip.Prefix // sorted
	relays   []netip.Addr   // sorted
	stated   bool           // since the sweep began
}

// labelled names a definition.
type labelled struct{ source, label string }

func (l labelled) compare(m labelled) int {
	if c := strings.Compare(l.source, m.source); c != 0 {
		return c
	}
	return strings.Compare(l.label, m.label)
}

// withLabel adds a definition's name to a sorted list, in a new list.
func withLabel(list []labelled, l labelled) []labelled {
	i, found := slices.BinarySearchFunc(list, l, labelled.compare)
	if found {
		return list
	}
	return slices.Insert(slices.Clone(list), i, l)
}

// Effect tells which bindings a change of definitions may have moved.
type Effect struct {
	Source   string         // whose names they are
	Names    []string       // names of links whose meaning changed
	Prefixes []netip.Prefix // prefixes whose longest match changed for addresses in them
	Relays   []netip.Addr   // link-addresses whose link changed
}

// None tells that nothing can have moved.
func (e Effect) None() bool { return len(e.Names) == 0 && len(e.Prefixes) == 0 && len(e.Relays) == 0 }

// Define states a link of a source, which replaces its definition with the same label. The link must be valid.
func (t *Table) Define(src string, l *binding.Link) Effect {
	d := &definition{names: sorted(l.Names), prefixes: canonical(l.Prefixes), relays: sortedAddrs(l.Relays), stated: true}
	s := t.sources[src]
	if s == nil {
		s = &source{definitions: map[string]*definition{}, names: map[string][]string{}}
		t.sources[src] = s
	}
	old := s.definitions[l.Label]
	if old != nil && slices.Equal(old.names, d.names) && slices.Equal(old.prefixes, d.prefixes) && slices.Equal(old.relays, d.relays) {
		old.stated = true
		return Effect{Source: src}
	}
	e := Effect{Source: src}
	d.id = t.number(d.prefixes)
	t.Acquire(d.id) // keeps it while the old definition goes
	if old != nil {
		t.undefine(&e, s, src, l.Label)
	}
	e.Prefixes = append(e.Prefixes, t.adopt(s, src, l.Label, d)...)
	e.Names = append(e.Names, d.names...)
	e.Relays = append(e.Relays, d.relays...)
	t.Release(d.id)
	return e
}

// adopt enters a definition whose link exists, and gives the prefixes that changed hands.
func (t *Table) adopt(s *source, src, label string, d *definition) []netip.Prefix {
	s.definitions[label] = d
	for _, n := range d.names {
		s.names[n] = insertSorted(s.names[n], label)
	}
	var e Effect
	t.describe(d.id, &e, func(i *info) { i.labels = withLabel(i.labels, labelled{src, label}) })
	for _, a := range d.relays {
		t.setRelay(a, append(slices.Clone(t.relays[a]), d.id))
	}
	t.refreshRelays(d.id)
	return e.Prefixes
}

// Remove takes back a definition; a label that is not known changes nothing. The link stays while bindings are on it.
func (t *Table) Remove(src, label string) Effect {
	e := Effect{Source: src}
	if s := t.sources[src]; s != nil && s.definitions[label] != nil {
		t.undefine(&e, s, src, label)
		if len(s.definitions) == 0 {
			delete(t.sources, src)
		}
	}
	return e
}

// undefine removes one definition and adds to e what that may move.
func (t *Table) undefine(e *Effect, s *source, src, label string) {
	d := s.definitions[label]
	delete(s.definitions, label)
	for _, n := range d.names {
		if rest := slices.DeleteFunc(s.names[n], func(l string) bool { return l == label }); len(rest) > 0 {
			s.names[n] = rest
		} else {
			delete(s.names, n)
		}
	}
	for _, a := range d.relays {
		rest := slices.Clone(t.relays[a])
		if i := slices.Index(rest, d.id); i >= 0 {
			rest = slices.Delete(rest, i, i+1)
		}
		t.setRelay(a, rest)
	}
	t.describe(d.id, e, func(i *info) {
		i.labels = slices.DeleteFunc(slices.Clone(i.labels), func(l labelled) bool { return l == labelled{src, label} })
	})
	t.refreshRelays(d.id)
	e.Names = append(e.Names, d.names...)
	e.Relays = append(e.Relays, d.relays...)
	t.drop(d.id)
}

// setRelay says which links list a relay address; the list is not changed afterwards.
func (t *Table) setRelay(a netip.Addr, ids []binding.LinkID) {
	if t.relaysShared {
		t.relays, t.relaysShared = maps.Clone(t.relays), false
	}
	if len(ids) == 0 {
		delete(t.relays, a)
	} else {
		t.relays[a] = ids
	}
	t.snapshot = nil
}

// describe changes a link's description; where it becomes defined or stops being so, its prefixes change hands.
func (t *Table) describe(id binding.LinkID, e *Effect, change func(*info)) {
	old := t.infos.get(int(id))
	i := *old
	change(&i)
	if (len(old.labels) > 0) != (len(i.labels) > 0) {
		t.holdersOf(old).remove(id, old)
		t.holdersOf(&i).add(id, &i)
		e.Prefixes = append(e.Prefixes, i.prefixes...)
	}
	t.set(id, &i)
}

// refreshRelays recomputes the relay addresses that readers see of a link, from its definitions.
func (t *Table) refreshRelays(id binding.LinkID) {
	i := *t.infos.get(int(id))
	i.relays = nil
	for _, l := range i.labels {
		i.relays = append(i.relays, t.sources[l.source].definitions[l.label].relays...)
	}
	i.relays = sortedAddrs(i.relays)
	t.set(id, &i)
}

// BeginSweep begins a statement of all links of a source: what Define does not restate until EndSweep is removed then.
func (t *Table) BeginSweep(src string) {
	if s := t.sources[src]; s != nil {
		for _, d := range s.definitions {
			d.stated = false
		}
	}
}

// EndSweep removes what was not restated since BeginSweep.
func (t *Table) EndSweep(src string) Effect {
	e := Effect{Source: src}
	s := t.sources[src]
	if s == nil {
		return e
	}
	var gone []string
	for label, d := range s.definitions {
		if !d.stated {
			gone = append(gone, label)
		}
	}
	slices.Sort(gone)
	for _, label := range gone {
		t.undefine(&e, s, src, label)
	}
	if len(s.definitions) == 0 {
		delete(t.sources, src)
	}
	return e
}

func sorted(in []string) []string {
	out := slices.Clone(in)
	slices.Sort(out)
	return slices.Compact(out)
}

func sortedAddrs(in []netip.Addr) []netip.Addr {
	out := slices.Clone(in)
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// insertSorted adds a string to a sorted list, in a new list.
func insertSorted(list []string, s string) []string {
	i, found := slices.BinarySearch(list, s)
	if found {
		return list
	}
	return slices.Insert(slices.Clone(list), i, s)
}
