package leasequery_test

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/fsm/store"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// stored is a scene in the real store.
type stored struct {
	*store.Store
	now binding.Time
}

func (s stored) View(context.Context) (binding.View, error) { return s.Store.View(), nil }
func (s stored) Now() binding.Time                          { return s.now }
func (s stored) ServerDUID() []byte                         { return serverID }

// store applies the scene's links and bindings as the news of one source.
func (s *scene) store(t *rapid.T) stored {
	name := func(id binding.LinkID) string { return "net" + string(rune('0'+id)) }
	var changes []binding.Change
	for _, l := range s.links {
		changes = append(changes, binding.Change{Event: binding.DefineLink,
			Link: &binding.Link{Label: name(l.ID), Names: []string{name(l.ID)}, Prefixes: l.Prefixes, Relays: l.Relays}})
	}
	for _, h := range s.bindings {
		b := binding.Binding{Kind: h.Kind, Prefix: h.Prefix, DUID: []byte(h.DUID), IAID: h.IAID, Preferred: h.Preferred, Valid: h.Valid,
			LastTransaction: h.LastTransaction, LinkName: []byte(name(h.Link)), Chain: h.Chain, Options: h.Options}
		changes = append(changes, binding.Change{Event: binding.Upsert, Binding: b})
		if h.State != binding.Active {
			changes = append(changes, binding.Change{Event: binding.End, Reason: h.State, Binding: b})
		}
	}
	for i := range changes {
		if err := changes[i].Validate(); err != nil {
			t.Fatal(err)
		}
	}
	out := stored{store.New(), s.now}
	out.Apply(store.Batch{Index: 1, Clock: s.clock, Source: "kea", Changes: changes})
	return out
}

// TestAnswersFromTheRealStore is TestAnswersAreThoseOfALinearScan with the store in place of the slice. Which client of a link comes
// first is the store's own business.
func TestAnswersFromTheRealStore(t *testing.T) {
	found := map[string]int{}
	check := func(t *rapid.T) {
		s := drawScene(t)
		state := s.store(t)
		for range questions {
			s.drawQuestion(t)
			m, err := dhcpv6.ParseMessage(s.message())
			if err != nil {
				t.Fatal(err)
			}
			a, err := leasequery.New(s.config, state).Begin(context.Background(), leasequery.Request{Message: m, Peer: relayAddr, Requestor: s.requestor, Over: s.over})
			if err != nil {
				t.Fatal(err)
			}
			got, want := s.read(t, a), s.expected()
			byWords := func(a, b client) int {
				return cmp.Or(strings.Compare(a.DUID, b.DUID), slices.Compare(a.Bindings, b.Bindings))
			}
			slices.SortFunc(got.Clients, byWords)
			slices.SortFunc(want.Clients, byWords)
			slices.SortFunc(got.Links, netip.Addr.Compare)
			slices.SortFunc(want.Links, netip.Addr.Compare)
			if d := gocmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); d != "" {
				t.Fatalf("answer (-want +got):\n%s", d)
			}
			found[kindOf(got)]++
		}
	}
	rapid.Check(t, check)
	for n := 0; (found["clients"] == 0 || found["links"] == 0) && n < 10; n++ {
		rapid.Check(t, check)
	}
	if found["clients"] == 0 || found["links"] == 0 {
		t.Errorf("nothing was put to the test: %v", found)
	}
}
