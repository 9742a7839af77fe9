package store

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/fsm/binding"
)

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

// clientOrder is the place of each client in the one order.
func clientOrder(all []shown) map[[2]string]int {
	order := map[[2]string]int{}
	for i, c := range all {
		order[[2]string{c.Home, c.DUID}] = i
	}
	return order
}

// checkAll compares all clients and all their entries with the model.
func checkAll(v *View, m *model) error {
	all := collect(v, v.Changes(0))
	return sameClients(v, "all", clientOrder(all), all, m.clients(func(*held) bool { return true }))
}

// check compares everything that a view can be asked with the model.
func check(v *View, m *model) error {
	if err := checkAll(v, m); err != nil {
		return err
	}
	order := clientOrder(collect(v, v.Changes(0)))
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
	if v.HistorySince() != m.since {
		return fmt.Errorf("history since %d, model says %d", v.HistorySince(), m.since)
	}
	for _, at := range []binding.Time{0, m.clock - 15_000, m.clock, m.clock + 1} {
		got := collect(v, v.Changes(ChangeAt(at)))
		if err := sameClients(v, fmt.Sprintf("changed since %d", at), order, got, m.clients(func(b *held) bool { return b.changed >= at })); err != nil {
			return err
		}
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
