package store

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/fsm/link"
)

// model is the store as one would write it down to be sure: lists, and a scan for everything.
type model struct {
	bindings []*held // in force and ended
	links    *link.Table
	sources  map[string]*modelSource
	seq      int
	clock    binding.Time
	history  binding.Time
	since    binding.Time
	keepLast bool // ends that no source reports keep the last transaction
	revive   bool // anybody may state what was swept
}

type modelSource struct {
	gen                        int
	resyncing, sweeping, links bool
}

// held is a binding of the model, or an end of one.
type held struct {
	binding.Binding
	source  string
	state   binding.State
	home    string // identity of its link
	seq     int    // order of changes
	changed binding.Time
	until   binding.Time
	own     bool // of an end: no source reported it, and it has kept the last transaction
	gen     int
}

func newModel() *model {
	return &model{links: link.New(), sources: map[string]*modelSource{}, history: binding.Time(defaultHistory.Milliseconds())}
}

func (m *model) source(name string) *modelSource {
	if m.sources[name] == nil {
		m.sources[name] = &modelSource{}
	}
	return m.sources[name]
}

func (m *model) live(k binding.Key) *held {
	for _, b := range m.bindings {
		if b.state == binding.Active && b.Key() == k {
			return b
		}
	}
	return nil
}

// known is the binding in force or the newest end.
func (m *model) known(k binding.Key) *held {
	if b := m.live(k); b != nil {
		return b
	}
	var newest *held
	for _, b := range m.bindings {
		if b.Key() == k && b.state != binding.Moved && (newest == nil || b.seq > newest.seq) {
			newest = b
		}
	}
	return newest
}

func (m *model) homeID(b *held) binding.LinkID {
	f := link.Facts{Source: b.source, Name: b.LinkName, Prefix: b.Prefix, Delegated: b.Kind == binding.PD}
	if a, ok := b.Chain.LinkAddress(); ok {
		f.LinkAddress = a
	}
	if b.Kind == binding.PD && len(b.Chain) == 0 {
		var anchor *held
		for _, x := range m.bindings {
			if x.state == binding.Active && x.Kind != binding.PD && len(x.Chain) == 0 && x.source == b.source &&
				bytes.Equal(x.DUID, b.DUID) && (anchor == nil || x.Prefix.Addr().Less(anchor.Prefix.Addr())) {
				anchor = x
			}
		}
		if anchor != nil {
			f.Anchor = m.homeID(anchor)
		}
	}
	return m.links.Home(f)
}

func (m *model) homeOf(b *held) string {
	id := m.homeID(b)
	return string(m.links.Snapshot().Identity(id))
}

func (m *model) drop(b *held) {
	m.bindings = slices.DeleteFunc(m.bindings, func(x *held) bool { return x == b })
}

// supersede forgets ends that b's news replaces.
func (m *model) supersede(b *held) {
	m.bindings = slices.DeleteFunc(m.bindings, func(x *held) bool {
		return x.state != binding.Active && x.home == b.home && bytes.Equal(x.DUID, b.DUID) && x.Key() == b.Key() &&
			bytes.Equal(x.Chain, b.Chain)
	})
}

func (m *model) next() int {
	m.seq++
	return m.seq
}

// ofOwn is the time of an end that no source reports.
const ofOwn = binding.Time(-1)

func (m *model) finish(b *held, reason binding.State, at binding.Time) *held {
	e := *b
	m.drop(b)
	expiry, ends := binding.Expiry(b.Valid, b.LastTransaction)
	if !ends {
		expiry = never
	}
	if reason != binding.Moved && expiry > m.clock {
		e.until = min(expiry, m.clock+24*3600*1000)
	}
	e.state, e.LastTransaction, e.seq, e.changed = reason, at, m.next(), m.clock
	if at == ofOwn {
		if e.LastTransaction = m.clock; m.keepLast {
			e.LastTransaction, e.own = b.LastTransaction, true
		}
	}
	m.supersede(&e)
	m.bindings = append(m.bindings, &e)
	return &e
}

// settle moves every binding to where it belongs.
func (m *model) settle() {
	for _, b := range slices.Clone(m.bindings) {
		if b.state != binding.Active {
			continue
		}
		if home := m.homeOf(b); home != b.home {
			moved := *b
			m.finish(b, binding.Moved, ofOwn)
			moved.home, moved.seq, moved.changed = home, m.next(), m.clock
			m.supersede(&moved)
			m.bindings = append(m.bindings, &moved)
		}
	}
}

func (m *model) wins(e binding.Event, source string, lt binding.Time, old *held) bool {
	known := old.LastTransaction
	if old.own {
		known = old.changed
	}
	return binding.News{Event: e, SameSource: source == old.source, Age: binding.CompareAge(lt, known),
		Ended: old.state != binding.Active, Swept: m.revive && old.state == binding.Swept, Higher: source > old.source}.Wins()
}

func (m *model) apply(source string, c *binding.Change) {
	src := m.source(source)
	switch c.Event {
	case binding.DefineLink:
		m.links.Define(source, c.Link)
	case binding.RemoveLink:
		m.links.Remove(source, c.Link.Label)
	case binding.End:
		b := &c.Binding
		old := m.live(b.Key())
		if old == nil || len(b.DUID) > 0 && (!bytes.Equal(b.DUID, old.DUID) || b.IAID != old.IAID) ||
			!m.wins(binding.End, source, b.LastTransaction, old) {
			return
		}
		m.finish(old, c.Reason, b.LastTransaction).source = source
	case binding.Upsert:
		m.upsert(source, src, &c.Binding)
	}
	m.settle()
}

func (m *model) upsert(source string, src *modelSource, b *binding.Binding) {
	n := &held{Binding: *b, source: source, gen: src.gen, changed: m.clock}
	old := m.known(b.Key())
	if old != nil && !m.wins(binding.Upsert, source, b.LastTransaction, old) {
		return
	}
	n.home = m.homeOf(n)
	if old != nil && old.state == binding.Active {
		same := bytes.Equal(old.DUID, b.DUID) && old.IAID == b.IAID && old.Kind == b.Kind
		switch {
		case same && source == old.source && old.Stamp == b.Stamp && old.Preferred == b.Preferred && old.Valid == b.Valid &&
			bytes.Equal(old.Chain, b.Chain) && bytes.Equal(old.LinkName, b.LinkName) && bytes.Equal(old.Options, b.Options):
			old.gen = src.gen
			return
		case !same:
			m.finish(old, binding.Reassigned, ofOwn)
		case !bytes.Equal(old.Chain, b.Chain) || old.home != n.home:
			m.finish(old, binding.Moved, ofOwn)
		default:
			m.drop(old)
		}
	}
	n.seq = m.next()
	m.supersede(n)
	m.bindings = append(m.bindings, n)
}

func (m *model) due(b *held) binding.Time {
	if b.state != binding.Active {
		return max(b.changed+m.history, b.until)
	}
	if at, ok := binding.Expiry(b.Valid, b.LastTransaction); ok {
		return at
	}
	return never
}

// tended does what the store said it did of one thing that was due: rank orders the clients as the store does, and gone tells
// whether the store no longer has a binding in force.
func (m *model) tended(c Counts, rank func(*held) int, gone func(*held) bool) {
	var found *held
	for _, b := range m.bindings {
		switch src := m.sources[b.source]; {
		case c.Swept > 0:
			if b.state == binding.Active && src.sweeping && b.gen != src.gen && gone(b) {
				found = b
			}
		case c.Expired+c.Pruned > 0 && m.due(b) <= m.clock:
			if found == nil || cmp.Or(cmp.Compare(rank(b), rank(found)), compareHeld(b, found)) < 0 {
				found = b
			}
		}
	}
	switch {
	case found == nil:
	case c.Swept > 0:
		m.finish(found, binding.Swept, ofOwn)
	case found.state != binding.Active:
		m.since = max(m.since, found.changed+1)
		m.drop(found)
	default:
		m.finish(found, binding.Expired, ofOwn)
	}
	m.settle()
}

// idle tells whether nothing is due.
func (m *model) idle() bool {
	return !slices.ContainsFunc(m.bindings, func(b *held) bool {
		src := m.sources[b.source]
		return m.due(b) <= m.clock || b.state == binding.Active && src.sweeping && b.gen != src.gen
	})
}

// clients groups the bindings; only clients that have an entry for which match is true.
func (m *model) clients(match func(*held) bool) map[[2]string][]*held {
	out := map[[2]string][]*held{}
	for _, b := range m.bindings {
		if match(b) {
			out[[2]string{b.home, string(b.DUID)}] = nil
		}
	}
	for _, b := range m.bindings {
		k := [2]string{b.home, string(b.DUID)}
		if _, ok := out[k]; ok {
			out[k] = append(out[k], b)
		}
	}
	for _, es := range out {
		slices.SortFunc(es, compareHeld)
	}
	return out
}

// compareHeld orders a client's entries.
func compareHeld(x, y *held) int {
	return cmp.Or(cmp.Compare(x.Kind, y.Kind), x.Prefix.Addr().Compare(y.Prefix.Addr()),
		cmp.Compare(x.Prefix.Bits(), y.Prefix.Bits()), cmp.Compare(min(x.state, 1), min(y.state, 1)), cmp.Compare(x.seq, y.seq))
}

// configured is the identities of the links that are defined.
func (m *model) configured() (ids []binding.LinkID) {
	l := m.links.Snapshot()
	for id := range l.All() {
		if len(l.Labels(id)) > 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// holding is the identity of the link that holds a: a defined one before one that only has bindings, by longest match, the
// lowest identity among equals.
func (m *model) holding(a netip.Addr) string {
	var defined, others []string
	l := m.links.Snapshot()
	for _, id := range m.configured() {
		defined = append(defined, string(l.Identity(id)))
	}
	for _, b := range m.bindings {
		if !slices.Contains(defined, b.home) {
			others = append(others, b.home)
		}
	}
	for _, list := range [][]string{defined, others} {
		best, bits := "", -1
		for _, identity := range list {
			for i := 0; i < len(identity); i += 17 {
				p := netip.PrefixFrom(netip.AddrFrom16([16]byte([]byte(identity[i:i+16]))), int(identity[i+16]))
				if p.Contains(a) && (p.Bits() > bits || p.Bits() == bits && identity < best) {
					best, bits = identity, p.Bits()
				}
			}
		}
		if bits >= 0 {
			return best
		}
	}
	return ""
}

// selectLinks is the identities of the links that a link-address selects, sorted.
func (m *model) selectLinks(a netip.Addr) []string {
	l := m.links.Snapshot()
	var out []string
	if h := m.holding(a); h != "" {
		out = append(out, h)
	}
	for _, id := range m.configured() {
		if slices.Contains(l.Relays(id), a) {
			out = append(out, string(l.Identity(id)))
		}
	}
	for _, b := range m.bindings {
		if la, ok := b.Chain.LinkAddress(); b.state == binding.Active && ok && la == a {
			out = append(out, b.home)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
