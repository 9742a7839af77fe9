package store

import (
	"net/netip"
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
)

func TestSmoke(t *testing.T) {
	s := New()
	c := s.Apply(Batch{Index: 1, Clock: 1000, Source: "a", Changes: []binding.Change{
		{Event: binding.Upsert, Binding: binding.Binding{Kind: binding.NA, Prefix: netip.MustParsePrefix("2001:db8::1/128"), DUID: []byte("d1"), Valid: 100, LastTransaction: 500}},
		{Event: binding.Upsert, Binding: binding.Binding{Kind: binding.PD, Prefix: netip.MustParsePrefix("2001:db8:1::/56"), DUID: []byte("d1"), Valid: 100, LastTransaction: 500}},
	}})
	v := s.View()
	var cl binding.Client
	cur := v.Select(binding.Query{})
	for cur.Next(&cl) {
		t.Logf("%+v", cl)
	}
	t.Log(c, v.Len())
}
