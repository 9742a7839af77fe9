package store

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
)

// The world of the tests is small, so that everything meets everything.
var (
	worldDUIDs     = []string{"a", "bb", "bbb", "d-four"}
	worldAddresses = []string{"2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:2::1", "2001:db8:a:1::1", "2001:db8:a:1::2", "fd00::1"}
	worldPrefixes  = []string{"2001:db8:a::/48", "2001:db8:a:1::/64", "2001:db8:a:100::/56", "2001:db8:b::/47", "2001:db8:a:1:8000::/65"}
	worldLinks     = []string{"2001:db8:0:1::/64", "2001:db8::/32", "2001:db8:a::/48", "2001:db8:b::/48", "fd00::/8", "2001:db8:0:1::/80"}
	worldRelays    = []string{"2001:db8:0:1::ffff", "2001:db8:a:1::ffff", "2001:db8:ffff::1", "fe80::1"}
	worldNames     = []string{"", "1", "2", "three"}
	worldSources   = []string{"kea-a", "kea-b", "kea-c"}
	worldIDs       = []string{"relay-one", "relay-two", "\x00\x00\x00\x09port 7"}
)

func drawChain(t *rapid.T) binding.Chain {
	n := rapid.SampledFrom([]int{0, 0, 1, 1, 2}).Draw(t, "hops")
	var levels []binding.Level
	for range n {
		l := binding.Level{Link: netip.MustParseAddr(rapid.SampledFrom(worldRelays).Draw(t, "link-address")), Peer: netip.MustParseAddr("fe80::2")}
		for _, code := range []byte{53, 37} {
			if id := rapid.SampledFrom(append(worldIDs, "")).Draw(t, "id"); id != "" {
				l.Options = append(append(l.Options, 0, code, 0, byte(len(id))), id...)
			}
		}
		levels = append(levels, l)
	}
	return binding.AppendChain(nil, netip.Addr{}, levels)
}

func drawKey(t *rapid.T) (k binding.Kind, p netip.Prefix) {
	k = rapid.SampledFrom([]binding.Kind{binding.NA, binding.NA, binding.NA, binding.TA, binding.PD, binding.PD}).Draw(t, "kind")
	if k == binding.PD {
		return k, netip.MustParsePrefix(rapid.SampledFrom(worldPrefixes).Draw(t, "prefix")).Masked()
	}
	return k, netip.PrefixFrom(netip.MustParseAddr(rapid.SampledFrom(worldAddresses).Draw(t, "address")), 128)
}

func drawLink(t *rapid.T) *binding.Link {
	l := &binding.Link{Label: rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "label")}
	for _, p := range rapid.SliceOfNDistinct(rapid.SampledFrom(worldLinks), 1, 2, rapid.ID).Draw(t, "prefixes") {
		l.Prefixes = append(l.Prefixes, netip.MustParsePrefix(p))
	}
	l.Names = rapid.SliceOfNDistinct(rapid.SampledFrom(worldNames[1:]), 0, 2, rapid.ID).Draw(t, "names")
	if rapid.Bool().Draw(t, "relays") {
		l.Relays = []netip.Addr{netip.MustParseAddr(rapid.SampledFrom(worldRelays[:3]).Draw(t, "relay"))}
	}
	return l
}

func drawChange(t *rapid.T, clock binding.Time) binding.Change {
	event := rapid.SampledFrom([]binding.Event{binding.Upsert, binding.Upsert, binding.Upsert, binding.Upsert, binding.Upsert,
		binding.End, binding.End, binding.DefineLink, binding.RemoveLink}).Draw(t, "event")
	if event > binding.End {
		return binding.Change{Event: event, Link: drawLink(t)}
	}
	c := binding.Change{Event: event}
	b := &c.Binding
	b.Kind, b.Prefix = drawKey(t)
	b.DUID = []byte(rapid.SampledFrom(worldDUIDs).Draw(t, "duid"))
	b.IAID = rapid.Uint32Range(1, 8).Draw(t, "iaid") / 8
	b.LastTransaction = clock - binding.Time(rapid.IntRange(0, 3).Draw(t, "age"))*1000
	if event == binding.End {
		c.Reason = rapid.SampledFrom([]binding.State{binding.Released, binding.Declined, binding.Expired, binding.Deleted}).Draw(t, "reason")
		if rapid.IntRange(0, 5).Draw(t, "anonymous") == 0 {
			b.DUID = nil
		}
		return c
	}
	b.Valid = rapid.SampledFrom([]uint32{1, 20, 1000, binding.Infinity}).Draw(t, "valid")
	b.Preferred = b.Valid / 2
	b.Stamp = uint32(b.LastTransaction/1000) % 4
	b.LinkName = []byte(rapid.SampledFrom(worldNames).Draw(t, "name"))
	b.Chain = drawChain(t)
	if n := rapid.SampledFrom([]int{0, 0, 1, 700, 4000}).Draw(t, "options"); n > 0 {
		b.Options = append([]byte{0, 39, byte(n >> 8), byte(n)}, bytes.Repeat([]byte{7}, n)...)
	}
	return c
}

// shown is a client as a view shows it, with what the model knows of it.
type shown struct {
	Home    string
	DUID    string
	Entries []shownEntry
}

type shownEntry struct {
	Kind             binding.Kind
	State            binding.State
	Prefix           string
	IAID             uint32
	Preferred, Valid uint32
	LT, Changed      binding.Time
	Source           string
	Chain, Options   string
}

func showClient(v *View, c *binding.Client) shown {
	s := shown{Home: string(v.Links().Identity(c.Link)), DUID: string(c.DUID)}
	for _, e := range c.Entries {
		s.Entries = append(s.Entries, shownEntry{e.Kind, e.State, e.Prefix.String(), e.IAID, e.Preferred, e.Valid, e.LastTransaction,
			e.Changed, v.SourceName(e.Source), string(e.Chain), string(e.Options)})
	}
	return s
}

func showModel(home, duid string, es []*held) shown {
	s := shown{Home: home, DUID: duid}
	for _, e := range es {
		s.Entries = append(s.Entries, shownEntry{e.Kind, e.state, e.Prefix.String(), e.IAID, e.Preferred, e.Valid, e.LastTransaction,
			e.changed, e.source, string(e.Chain), string(e.Options)})
	}
	return s
}

// collect reads a cursor to its end.
func collect(v *View, c interface{ Next(*binding.Client) bool }) (out []shown) {
	var cl binding.Client
	for c.Next(&cl) {
		out = append(out, showClient(v, &cl))
	}
	return out
}

func byHome(x, y shown) int { return cmp.Or(cmp.Compare(x.Home, y.Home), cmp.Compare(x.DUID, y.DUID)) }

// sameClients compares what a walk yields with what the model has, and checks that the walk keeps the one order.
func sameClients(v *View, what string, order map[[2]string]int, got []shown, want map[[2]string][]*held) error {
	last := -1
	for _, c := range got {
		i, ok := order[[2]string{c.Home, c.DUID}]
		if !ok || i <= last {
			return fmt.Errorf("%s: client %q out of order", what, c.DUID)
		}
		last = i
	}
	var model []shown
	for k, es := range want {
		model = append(model, showModel(k[0], k[1], es))
	}
	got = slices.Clone(got)
	slices.SortFunc(got, byHome)
	slices.SortFunc(model, byHome)
	if d := gocmp.Diff(model, got); d != "" {
		return fmt.Errorf("%s (-model +store):\n%s", what, d)
	}
	return nil
}

func isLive(b *held) bool { return b.state == binding.Active }

// check compares everything that a view can be asked with the model.
func check(v *View, m *model) error {
	all := collect(v, v.Changes(0))
	order := map[[2]string]int{}
	for i, c := range all {
		order[[2]string{c.Home, c.DUID}] = i
	}
	if err := sameClients(v, "all", order, all, m.clients(func(*held) bool { return true })); err != nil {
		return err
	}
	ask := func(what string, q binding.Query, match func(*held) bool) error {
		return sameClients(v, what, order, collect(v, v.Select(q)), m.clients(func(b *held) bool { return isLive(b) && match(b) }))
	}
	if err := ask("everything", binding.Query{}, func(*held) bool { return true }); err != nil {
		return err
	}
	live := uint64(0)
	for _, b := range m.bindings {
		if isLive(b) {
			live++
		}
	}
	if v.Len() != live {
		return fmt.Errorf("%d bindings, model has %d", v.Len(), live)
	}
	filters := [][]string{nil}
	for _, a := range append(worldRelays[:3:3], worldAddresses...) {
		addr := netip.MustParseAddr(a)
		ids := v.SelectLinks(nil, addr)
		var got []string
		for _, id := range ids {
			got = append(got, string(v.Links().Identity(id)))
		}
		slices.Sort(got)
		want := m.selectLinks(addr)
		if !slices.Equal(got, want) {
			return fmt.Errorf("links of %v: %x, model has %x", addr, got, want)
		}
		filters = append(filters, want)
		on := func(b *held) bool { return slices.Contains(want, b.home) }
		if err := ask("by link "+a, binding.Query{By: binding.ByLinkAddress, Links: ids}, on); err != nil {
			return err
		}
	}
	for _, filter := range filters {
		var links []binding.LinkID
		for id := range v.Links().All() {
			if slices.Contains(filter, string(v.Links().Identity(id))) {
				links = append(links, id)
			}
		}
		if filter != nil && links == nil {
			links = []binding.LinkID{}
		}
		slices.Sort(links)
		on := func(b *held) bool { return filter == nil || slices.Contains(filter, b.home) }
		for _, d := range append(worldDUIDs, "nobody") {
			q := binding.Query{By: binding.ByClientID, Value: []byte(d), Links: links}
			if err := ask("by duid "+d, q, func(b *held) bool { return on(b) && string(b.DUID) == d }); err != nil {
				return err
			}
		}
		for _, id := range append(worldIDs, "nobody") {
			q := binding.Query{By: binding.ByRelayID, Value: []byte(id), Links: links}
			if err := ask("by relay-id "+id, q, func(b *held) bool { return on(b) && b.Chain.HasRelayID([]byte(id)) }); err != nil {
				return err
			}
			q.By = binding.ByRemoteID
			if err := ask("by remote-id "+id, q, func(b *held) bool { return on(b) && b.Chain.HasRemoteID([]byte(id)) }); err != nil {
				return err
			}
		}
	}
	return checkFind(v, m, ask)
}

func checkFind(v *View, m *model, ask func(string, binding.Query, func(*held) bool) error) error {
	for _, a := range append(worldAddresses, "2001:db8:a:1:8000::9", "2001:db8:b:ffff::") {
		addr := netip.MustParseAddr(a)
		k := binding.Key{Prefix: netip.PrefixFrom(addr, 128)}
		if err := ask("by address "+a, binding.Query{By: binding.ByAddress, Key: k}, func(b *held) bool { return b.Key() == k }); err != nil {
			return err
		}
		got, id, ok := v.FindAddress(addr)
		if want := m.live(k); ok != (want != nil) || ok && (got != k || string(v.Links().Identity(id)) != want.home) {
			return fmt.Errorf("address %v: %v %v", addr, got, ok)
		}
		var longest *held
		for _, b := range m.bindings {
			if isLive(b) && b.Kind == binding.PD && b.Prefix.Contains(addr) && (longest == nil || b.Prefix.Bits() > longest.Prefix.Bits()) {
				longest = b
			}
		}
		got, id, ok = v.FindDelegated(addr)
		if ok != (longest != nil) || ok && (got != longest.Key() || string(v.Links().Identity(id)) != longest.home) {
			return fmt.Errorf("delegated prefix around %v: %v %v", addr, got, ok)
		}
		if h, ok := v.LinkHolding(addr); ok != (m.holding(addr) != "") || ok && string(v.Links().Identity(h)) != m.holding(addr) {
			return fmt.Errorf("link holding %v: %d %v, model has %x", addr, h, ok, m.holding(addr))
		}
	}
	for _, p := range worldPrefixes {
		k := binding.Key{Prefix: netip.MustParsePrefix(p).Masked(), Delegated: true}
		if err := ask("by prefix "+p, binding.Query{By: binding.ByAddress, Key: k}, func(b *held) bool { return b.Key() == k }); err != nil {
			return err
		}
	}
	return nil
}

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

func (x *machine) check(t *rapid.T) {
	v := x.store.View()
	defer v.Release()
	if err := check(v, x.model); err != nil {
		t.Fatal(err)
	}
}

func testMachine(t *testing.T, h hasher) {
	rapid.Check(t, func(t *rapid.T) {
		x := &machine{store: newStore(h), model: newModel()}
		x.model.clock = 1_000_000
		t.Repeat(map[string]func(*rapid.T){
			"apply": x.apply, "apply again": x.apply, "apply once more": x.apply, "resync": x.resync, "tick": x.tick,
			"maintain": x.maintain, "hold": x.hold, "release": x.release, "restore": x.restore, "set history": x.setHistory,
			"": x.check,
		})
		for i := range x.views {
			if err := x.views[i].same(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestStoreEqualsLinearScan(t *testing.T) { testMachine(t, hasher{}) }

func TestStoreEqualsLinearScanWithCollidingHashes(t *testing.T) { testMachine(t, hasher{values: 3}) }
