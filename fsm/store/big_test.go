package store

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
)

// delegated is the n-th prefix of a client that has very many.
func delegated(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(n >> 16), byte(n >> 8), byte(n)}), 56)
}

// TestClientWithThousandsOfPrefixes gives one DUID ten thousand prefixes behind changing relay chains, of which some are
// large, and takes half of them back.
func TestClientWithThousandsOfPrefixes(t *testing.T) {
	const prefixes = 10_000
	duid := bytes.Repeat([]byte{9}, binding.MaxDUID)
	chain := func(n int) binding.Chain {
		id := fmt.Sprintf("port %d", n/10)
		o := append([]byte{0, 37, 0, byte(4 + len(id)), 0, 0, 0, 9}, id...)
		if n%1000 == 0 {
			o = append(append(o, 0, 17, 0x3a, 0x98), make([]byte, 15000)...)
		}
		return binding.AppendChain(nil, netip.Addr{}, []binding.Level{{Link: netip.MustParseAddr("2001:db8:ffff::1"), Peer: netip.MustParseAddr("fe80::1"), Options: o}})
	}
	s := New()
	b := Batch{Index: 1, Clock: 1000, Source: "kea"}
	for i := range prefixes {
		n := i * 7919 % prefixes
		c := binding.Change{Event: binding.Upsert, Binding: binding.Binding{Kind: binding.PD, Prefix: delegated(n), DUID: duid,
			IAID: uint32(n), Valid: 1000, LastTransaction: 900, Chain: chain(n)}}
		if n%500 == 0 {
			c.Binding.Options = append([]byte{0, 39, 0x0f, 0xfc}, make([]byte, binding.MaxOptions-4)...)
		}
		if b.Changes = append(b.Changes, c); len(b.Changes) == 500 {
			if got := s.Apply(b); got.Changed != 500 {
				t.Fatalf("%+v", got)
			}
			b.Changes = b.Changes[:0]
		}
	}
	early := s.View()
	defer early.Release()
	for n := 0; n < prefixes; n += 2 {
		b.Changes = append(b.Changes, binding.Change{Event: binding.End, Reason: binding.Released, Binding: binding.Binding{
			Kind: binding.PD, Prefix: delegated(n), DUID: duid, IAID: uint32(n), LastTransaction: 1000}})
	}
	if got := s.Apply(b); got.Changed != prefixes/2 {
		t.Fatalf("%+v", got)
	}
	wholeClient(t, early, duid, prefixes, 0)
	late := s.Snapshot()
	defer late.Release()
	wholeClient(t, late, duid, prefixes/2, prefixes/2)

	var buf bytes.Buffer
	if _, err := late.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	first := bytes.Clone(buf.Bytes())
	r, err := Restore(&buf)
	if err != nil {
		t.Fatal(err)
	}
	restored := r.Snapshot()
	defer restored.Release()
	wholeClient(t, restored, duid, prefixes/2, prefixes/2)
	var second bytes.Buffer
	if _, err := restored.WriteTo(&second); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second.Bytes()) {
		t.Fatal("a restored store writes another snapshot")
	}
	for _, clock := range []binding.Time{2_000_000, 25 * 3600 * 1000} { // all expires; all that ended is forgotten
		for more := true; more; {
			_, more = r.Maintain(2, clock, 512)
		}
	}
	if r.clients.root.n != 0 || r.Len() != 0 {
		t.Fatal("something is left when all has expired and been pruned")
	}
}

// wholeClient checks that any query for one of the client's bindings shows all of them, in order.
func wholeClient(t *testing.T, v *View, duid []byte, live, ended int) {
	t.Helper()
	for _, q := range []binding.Query{
		{},
		{By: binding.ByClientID, Value: duid},
		{By: binding.ByAddress, Key: binding.Key{Prefix: delegated(4321), Delegated: true}},
		{By: binding.ByRemoteID, Value: []byte("\x00\x00\x00\x09port 777")},
	} {
		var c binding.Client
		cur := v.Select(q)
		if !cur.Next(&c) {
			t.Fatalf("query %d finds nothing", q.By)
		}
		count := [2]int{}
		for i, e := range c.Entries {
			if e.State == binding.Active {
				count[0]++
			} else {
				count[1]++
			}
			if i > 0 && c.Entries[i-1].Prefix.Addr().Compare(e.Prefix.Addr()) >= 0 {
				t.Fatalf("query %d: %v behind %v", q.By, e.Prefix, c.Entries[i-1].Prefix)
			}
		}
		if count != [2]int{live, ended} || !bytes.Equal(c.DUID, duid) {
			t.Fatalf("query %d shows %d bindings and %d ends, want %d and %d", q.By, count[0], count[1], live, ended)
		}
		if cur.Next(&c) {
			t.Fatalf("query %d shows the client twice", q.By)
		}
	}
}

// TestGenerationsComeRound runs more resyncs than a generation can count.
func TestGenerationsComeRound(t *testing.T) {
	s := New()
	up := func(n int) Batch {
		return Batch{Index: 1, Clock: 1000, Source: "kea", Changes: []binding.Change{{Event: binding.Upsert, Binding: binding.Binding{
			Kind: binding.PD, Prefix: delegated(n), DUID: []byte("duid"), Valid: 1000, LastTransaction: 900}}}}
	}
	s.Apply(up(1))
	for range 256 { // none of these comes to its end
		s.BeginResync(2, 1000, "kea", false)
		s.Apply(up(2))
	}
	s.EndResync(3, 1000, "kea")
	if got := s.Sweeping(); len(got) != 1 || got[0] != "kea" {
		t.Fatalf("sweeping %v", got)
	}
	if c, more := s.Maintain(4, 1000, 100); c.Swept != 1 || more || s.Len() != 1 {
		t.Fatalf("%+v, %d bindings left, more %v", c, s.Len(), more)
	}
}
