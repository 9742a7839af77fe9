package link

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
)

// sample is a table with some of everything.
func sample() *Table {
	t := New()
	t.Define("kea-a", &binding.Link{Label: "cellar", Names: []string{"1", "2"}, Prefixes: prefixes("2001:db8::/48", "fd00::/64"), Relays: addrs("2001:db8::1")})
	t.Define("kea-b", &binding.Link{Label: "attic", Names: []string{"1"}, Prefixes: prefixes("2001:db8::/48")})
	t.BeginSweep("kea-b")
	t.Acquire(t.Home(Facts{LinkAddress: netip.MustParseAddr("2001:db8:ff::1"), Prefix: netip.MustParsePrefix("2001:db8:1::1/128")}))
	t.Acquire(t.Home(Facts{Prefix: netip.MustParsePrefix("2001:db8:7700::/56"), Delegated: true}))
	return t
}

func TestParseTableRefusesWhatIsCutOrChanged(t *testing.T) {
	b := sample().AppendBinary(nil)
	if _, err := ParseTable(b); err != nil {
		t.Fatal(err)
	}
	for i := range b {
		if _, err := ParseTable(b[:i]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut at %d of %d: error %v, want ErrCorrupt", i, len(b), err)
		}
	}
	if _, err := ParseTable(append(bytes.Clone(b), 0)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("an octet more: error %v, want ErrCorrupt", err)
	}
	for name, b := range map[string][]byte{
		"another version":       {2, 0, 0},
		"a link without prefix": {1, 1, 1, 0, 0, 0},
		"link number 0":         append(append([]byte{1, 1, 0, 0, 1}, make([]byte, octetsOfPrefix)...), 0),
		"link number too high":  append(append([]byte{1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 1}, make([]byte, octetsOfPrefix)...), 0),
		"a prefix too long":     append(append([]byte{1, 1, 1, 0, 1}, bytes.Repeat([]byte{129}, octetsOfPrefix)...), 0),
		"too many links":        {1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
	} {
		if _, err := ParseTable(b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: error %v, want ErrCorrupt", name, err)
		}
	}
}

func FuzzParseTable(f *testing.F) {
	f.Add(New().AppendBinary(nil))
	f.Add(sample().AppendBinary(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := ParseTable(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error %v does not wrap ErrCorrupt", err)
			}
			return
		}
		once := table.AppendBinary(nil)
		again, err := ParseTable(once)
		if err != nil {
			t.Fatalf("what was written is refused: %v", err)
		}
		if twice := again.AppendBinary(nil); !bytes.Equal(once, twice) {
			t.Fatalf("written\n%x\nread and written\n%x", once, twice)
		}
		for id := range table.Snapshot().All() {
			table.Snapshot().Representative(id)
		}
	})
}
