package store

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/fsm/link"
)

// state is the store at one moment, as it was pinned.
type state struct {
	store        *Store // for linkTable alone
	pin          *pin
	hash         hasher
	clients      treeRoot
	places       treeRoot
	addresses    pairRoot
	duids        pairRoot
	relays       pairRoot
	remotes      pairRoot
	links        *link.Links
	sources      []Source
	resyncs      []source // all that the snapshot needs of them
	table        []byte   // of linkTable; under the store's mutex
	sums         sums
	index        uint64
	clock        binding.Time
	mark         uint64
	history      binding.Time
	historySince binding.Time
	historyAfter uint64
	linksChanged uint64
}

type treeRoot struct {
	root   *inner
	height int
}

type pairRoot struct {
	root   *pairInner
	height int
}

// View is the store at one moment: a binding.History, and what the state machine needs beside it.
type View struct {
	*state
	released atomic.Bool
}

// View is the state after the newest write. It waits for a write that is going on. Release must be called once the view, and
// every cursor of it, is no longer used.
func (s *Store) View() *View {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		s.epochs.collect()
		s.current = s.freeze()
	}
	s.current.pin.refs.Add(1)
	return &View{state: s.current}
}

// Snapshot is View for a view that is to be written out while the store goes on: View.WriteTo works whenever it is called.
// Unlike View it encodes the link table at once. It belongs to the writer.
func (s *Store) Snapshot() *View {
	v := s.View()
	v.linkTable()
	return v
}

// linkTable is the link table as the snapshot has it; nil if the store has been written to since the view was taken and
// nobody asked before.
func (v *View) linkTable() []byte {
	s := v.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.table == nil && s.current == v.state {
		v.table = s.links.AppendBinary(nil)
	}
	return v.table
}

// freeze pins the state.
func (s *Store) freeze() *state {
	st := &state{
		store: s, hash: s.hash,
		clients: treeRoot{s.clients.root, s.clients.height}, places: treeRoot{s.places.root, s.places.height},
		addresses: pairRoot{s.addresses.root, s.addresses.height}, duids: pairRoot{s.duids.root, s.duids.height},
		relays: pairRoot{s.relays.root, s.relays.height}, remotes: pairRoot{s.remotes.root, s.remotes.height},
		links: s.links.Snapshot(), sources: s.Sources(), sums: s.sums,
		index: s.index, clock: s.clock, mark: s.mark, history: s.history, historySince: s.historySince,
		historyAfter: s.historyAfter(), linksChanged: s.linksChanged(),
		pin: s.epochs.pinNow(),
	}
	for _, src := range s.sources {
		c := *src
		c.swept.duid = slices.Clone(src.swept.duid)
		st.resyncs = append(st.resyncs, c)
	}
	return st
}

// Release gives the view back. Only the first call counts.
func (v *View) Release() {
	if !v.released.Swap(true) {
		v.pin.refs.Add(-1)
	}
}

// Index is the index of the newest log entry applied.
func (v *View) Index() uint64 { return v.index }

// Clock is the closed time after that entry.
func (v *View) Clock() binding.Time { return v.clock }

// Len is the number of bindings in force.
func (v *View) Len() uint64 { return v.sums.live }

// Links is the link table.
func (v *View) Links() *link.Links { return v.links }

// Sources is every source, by number. The caller must not change it.
func (v *View) Sources() []Source { return v.sources }

// SourceName is the name of the source with the number that entries carry; "" for a number without source.
func (v *View) SourceName(number uint16) string {
	if number == 0 || int(number) > len(v.sources) {
		return ""
	}
	return v.sources[number-1].Name
}

// HistorySince is the time from which on every end and every change is still to be found (RFC 7653 8.4.1: older asks get
// DataMissing).
func (v *View) HistorySince() binding.Time { return v.historySince }

// HistoryAfter is the number behind which every end and every change is still to be found: the newest end that was forgotten here,
// or, where that is not known any more, the last number before HistorySince; never more than Change.
func (v *View) HistoryAfter() uint64 { return v.historyAfter }

func (s *Store) historyAfter() uint64 {
	if s.forgotten != 0 && markTime(s.forgotten)+1 == s.historySince {
		return s.forgotten
	}
	return min(ChangeAt(s.historySince), s.mark)
}

// Change is the number of the newest change.
func (v *View) Change() uint64 { return v.mark }

// Pinned is the number of octets that are kept only because this view, or another of the same moment, is held: those of the
// nodes that have been replaced since. It grows while writes go on.
func (v *View) Pinned() int64 { return v.pin.bytes.Load() }

// Kept is the number of octets that are kept because this view is held, or any newer one: all that has been replaced since and is not
// given back. Of the oldest view it is all that views keep. It costs a look at each of the newer views' moments.
func (v *View) Kept() (octets int64) {
	for p := v.pin; p != nil; p = p.newer.Load() {
		octets += p.bytes.Load()
	}
	return octets
}

// LinkHolding is the link whose prefix holds the address by longest match.
func (v *View) LinkHolding(a netip.Addr) (binding.LinkID, bool) { return v.links.Holding(a) }

// Representative is the link's representative address.
func (v *View) Representative(id binding.LinkID) netip.Addr { return v.links.Representative(id) }

// LinkPrefixes is the link's prefixes, sorted; nil for an unknown link. The caller must not change them.
func (v *View) LinkPrefixes(id binding.LinkID) []netip.Prefix { return v.links.Prefixes(id) }

// SelectLinks appends to dst, sorted, the links that a query's link-address selects: those that list it as relay address, the
// one whose prefix holds it by longest match, and those of bindings whose chain's LinkAddress is exactly it.
func (v *View) SelectLinks(dst []binding.LinkID, linkAddress netip.Addr) []binding.LinkID {
	begin := len(dst)
	dst = v.links.Select(dst, linkAddress)
	at := spot{octets: linkAddress.As16(), relayed: true}
	lh, duid := at.key()
	var p path
	if p.seek(v.places.root, v.places.height, &key{place: lh, duid: duid[:]}) {
		for ok := p.settle(); ok && p.place() == lh; ok = p.next() {
			d := p.record().duid()
			if string(d[:9]) != string(duid[:9]) {
				break
			}
			dst = append(dst, binding.LinkID(binary.BigEndian.Uint32(d[9:])))
		}
	}
	slices.Sort(dst[begin:])
	return dst[:begin+len(slices.Compact(dst[begin:]))]
}

// FindAddress is the live address binding with exactly this address.
func (v *View) FindAddress(a netip.Addr) (binding.Key, binding.LinkID, bool) {
	if !a.Is6() {
		return binding.Key{}, 0, false
	}
	k := binding.Key{Prefix: netip.PrefixFrom(a.WithZone(""), 128)}
	lh, ok := v.findLive(k)
	return k, placeLink(lh), ok
}

// FindDelegated is the live delegated prefix that contains the address, the longest if there are several.
func (v *View) FindDelegated(a netip.Addr) (binding.Key, binding.LinkID, bool) {
	if !a.Is6() {
		return binding.Key{}, 0, false
	}
	for bits := 128; bits >= 0; bits-- {
		if v.sums.delegated[bits] == 0 {
			continue
		}
		prefix, err := a.WithZone("").Prefix(bits)
		if err != nil {
			break
		}
		k := binding.Key{Prefix: prefix, Delegated: true}
		if lh, ok := v.findLive(k); ok {
			return k, placeLink(lh), true
		}
	}
	return binding.Key{}, 0, false
}
