package store

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
)

// handOn gives one address to the n-th client.
func handOn(s *Store, n uint64, event binding.Event) Counts {
	duid := binary.BigEndian.AppendUint64([]byte{0, 3, 0, 1}, n)
	c := binding.Change{Event: event, Reason: binding.Released, Binding: binding.Binding{
		Kind: binding.NA, Prefix: netip.MustParsePrefix("2001:db8::1/128"), DUID: duid, IAID: 1,
		Preferred: 3600, Valid: 7200, LastTransaction: s.clock + 1,
	}}
	return s.Apply(Batch{Index: s.index + 1, Clock: s.clock + 1, Source: "kea", Changes: []binding.Change{c}})
}

// An address that many clients had one after the other is the last one's, whether the one before had let it go or not.
func TestCrowdedAddress(t *testing.T) {
	s := New()
	for n := range uint64(10 * crowd) {
		if c := handOn(s, n, binding.Upsert); c.Changed != 1 {
			t.Fatalf("client %d: %+v", n, c)
		}
		if n%3 == 0 {
			if c := handOn(s, n, binding.End); c.Changed != 1 {
				t.Fatalf("end of client %d: %+v", n, c)
			}
		}
		if n > 0 {
			if c := handOn(s, n-1, binding.End); c.Ignored != 1 {
				t.Fatalf("end of client %d, who has it no more: %+v", n-1, c)
			}
		}
	}
	if len(s.crowded) != 1 {
		t.Errorf("%d addresses are crowded, want one", len(s.crowded))
	}
}

// What a change of hands costs after so many others of the same address, beside the first ones.
func BenchmarkChangeOfHands(b *testing.B) {
	for _, before := range []uint64{0, 3000} {
		b.Run(map[uint64]string{0: "first", 3000: "after 3000"}[before], func(b *testing.B) {
			s := New()
			n := uint64(0)
			for ; n < before; n++ {
				handOn(s, n, binding.Upsert)
			}
			for b.Loop() {
				if before == 0 && n%crowd == 0 {
					s = New()
				}
				handOn(s, n, binding.Upsert)
				n++
			}
		})
	}
}
