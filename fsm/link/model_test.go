package link

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/leasehold/leasehold/fsm/binding"
)

// model is a table of links that is nothing but its definitions and the links that have client records: every question is
// answered by looking at all of them.
type model struct {
	definitions map[reportedAs]binding.Link
	records     map[string]int // client records by identity
}

type reportedAs struct{ source, label string }

func newModel() *model {
	return &model{definitions: map[reportedAs]binding.Link{}, records: map[string]int{}}
}

func (m *model) clone() *model {
	return &model{definitions: maps.Clone(m.definitions), records: maps.Clone(m.records)}
}

// canonical is all definitions in a form in which equal ones look equal.
func (m *model) canonical() string {
	out := map[reportedAs]string{}
	for as, l := range m.definitions {
		out[as] = fmt.Sprint(canonical(l.Prefixes, comparePrefixes), canonical(l.Names, strings.Compare), canonical(l.Relays, netip.Addr.Compare))
	}
	return fmt.Sprint(out)
}

func identityOfSet(prefixes ...netip.Prefix) string {
	return string(identityOf(canonical(prefixes, comparePrefixes)))
}

func prefixesOf(identity string) []netip.Prefix {
	var out []netip.Prefix
	for b := []byte(identity); len(b) > 0; b = b[octetsOfPrefix:] {
		out = append(out, netip.PrefixFrom(netip.AddrFrom16([16]byte(b)), int(b[16])))
	}
	return out
}

// configured is the identities of links that some source defines, sorted.
func (m *model) configured() []string {
	var out []string
	for _, l := range m.definitions {
		out = append(out, identityOfSet(l.Prefixes...))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// others is the identities of all other links, sorted.
func (m *model) others() []string {
	configured := m.configured()
	var out []string
	for id, n := range m.records {
		if n > 0 && !slices.Contains(configured, id) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// longest is which of the links, sorted by identity, has the longest prefix that holds all of p.
func longest(links []string, p netip.Prefix) string {
	best, bits := "", -1
	for _, id := range links {
		for _, q := range prefixesOf(id) {
			if q.Bits() <= p.Bits() && q.Contains(p.Addr()) && q.Bits() > bits {
				best, bits = id, q.Bits()
			}
		}
	}
	return best
}

func (m *model) holding(a netip.Addr) string {
	if id := longest(m.configured(), hostPrefix(a)); id != "" {
		return id
	}
	return longest(m.others(), hostPrefix(a))
}

func (m *model) listing(a netip.Addr) []string {
	var out []string
	for _, l := range m.definitions {
		if slices.Contains(l.Relays, a) {
			out = append(out, identityOfSet(l.Prefixes...))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (m *model) meaning(source, name string) string {
	labels := []string{}
	for as, l := range m.definitions {
		if as.source == source && slices.Contains(l.Names, name) {
			labels = append(labels, as.label)
		}
	}
	if len(labels) == 0 {
		return ""
	}
	return identityOfSet(m.definitions[reportedAs{source, slices.Min(labels)}].Prefixes...)
}

// home is Table.Home, with the anchor given as an identity.
func (m *model) home(f Facts, anchor string) string {
	if id := m.meaning(f.Source, string(f.Name)); len(f.Name) > 0 && id != "" {
		return id
	}
	if a := f.LinkAddress; a.IsValid() {
		if id := longest(m.configured(), hostPrefix(a)); id != "" {
			return id
		}
		if listing := m.listing(a); len(listing) > 0 {
			if id := longest(listing, f.Prefix); id != "" {
				return id
			}
			return listing[0]
		}
		return identityOfSet(prefix64(a))
	}
	if f.Delegated && anchor != "" {
		return anchor
	}
	if id := longest(m.configured(), f.Prefix); id != "" {
		return id
	}
	if f.Delegated {
		return identityOfSet(f.Prefix)
	}
	return identityOfSet(prefix64(f.Prefix.Addr()))
}

func (m *model) relays(identity string) []netip.Addr {
	var out []netip.Addr
	for _, l := range m.definitions {
		if identityOfSet(l.Prefixes...) == identity {
			out = append(out, l.Relays...)
		}
	}
	return canonical(out, netip.Addr.Compare)
}

func (m *model) labels(identity string) []string {
	var out []string
	for as, l := range m.definitions {
		if identityOfSet(l.Prefixes...) == identity {
			out = append(out, as.source+"/"+as.label)
		}
	}
	slices.Sort(out)
	return out
}

// representative tries every address at which some link's prefix begins, or the one behind it ends.
func (m *model) representative(identity string) netip.Addr {
	var edges []netip.Addr
	for _, id := range append(m.configured(), m.others()...) {
		for _, p := range prefixesOf(id) {
			edges = append(edges, p.Addr())
			if a := after(p); a.IsValid() {
				edges = append(edges, a)
			}
		}
	}
	edges = canonical(edges, netip.Addr.Compare)
	for _, p := range prefixesOf(identity) {
		for _, a := range edges {
			if p.Contains(a) && m.holding(a) == identity {
				return a
			}
		}
	}
	if relays := m.relays(identity); len(relays) > 0 {
		return relays[0]
	}
	return prefixesOf(identity)[0].Addr()
}

// id is the number that the table has for an identity; 0 for none.
func id(l *Links, identity string) binding.LinkID {
	for id := range l.All() {
		if bytes.Equal(l.Identity(id), []byte(identity)) {
			return id
		}
	}
	return 0
}

func hostPrefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
