package kea

import (
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
)

// mustBeStorable holds the lease of a row against the rules that the cluster applies.
func mustBeStorable(t *testing.T, r *row) {
	t.Helper()
	c := newChange()
	_ = c.fill(r, 0, 0) // a host name that DNS does not allow is left out
	l := &c.lease
	a, ok := netip.AddrFromSlice(l.GetAddress())
	if !ok {
		t.Fatalf("address of %d octets", len(l.GetAddress()))
	}
	var levels []binding.Level
	for _, r := range l.GetRelays() {
		link, _ := netip.AddrFromSlice(r.GetLinkAddress())
		peer, _ := netip.AddrFromSlice(r.GetPeerAddress())
		levels = append(levels, binding.Level{HopCount: uint8(r.GetHopCount()), Link: link, Peer: peer, Options: r.GetOptions()})
	}
	b := binding.Change{Event: binding.Upsert, Binding: binding.Binding{
		Kind: binding.Kind(l.GetKind()), Prefix: netip.PrefixFrom(a, int(l.GetPrefixLength())), DUID: l.GetDuid(), IAID: l.GetIaid(), Preferred: l.GetPreferred(),
		Valid: l.GetValid(), LinkName: []byte(l.GetLinkName()), Options: l.GetOptions(), Chain: binding.AppendChain(nil, netip.Addr{}, levels),
	}}
	if err := b.Validate(); err != nil {
		t.Fatalf("a lease that may not be stored: %v\n%v", err, l)
	}
}

func TestEveryLeaseOfTheSamplesIsStorable(t *testing.T) {
	n := 0
	for _, path := range []string{"testdata/kea-2.2/kea-leases6.csv", "testdata/kea-3.3/kea-leases6.csv", "testdata/kea-2.2/rotated/kea-leases6.csv"} {
		m, err := NewMemfile(Config{Files: []string{filepath.FromSlash(path)}})
		if err != nil {
			t.Fatal(err)
		}
		files, err := m.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p, err := newPass(t.Context(), m, files)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.files {
			err := r.each(p.lines, &p.parser, wholeFile, p.alive, func(line []byte, err error) error {
				if err != nil {
					t.Error(err)
				} else if err := p.parser.parse(line); err != nil {
					t.Error(err)
				} else if p.parser.row.leased() {
					n++
					mustBeStorable(t, &p.parser.row)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		if err := closeFiles(files); err != nil {
			t.Error(err)
		}
	}
	if n < 1000 {
		t.Errorf("only %d leases", n)
	}
}
