package fsm

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
)

// drawAnyChange is a valid change with fields of every size.
func drawAnyChange(t *rapid.T) Change {
	octets := func(from, to int, what string) []byte { return rapid.SliceOfN(rapid.Byte(), from, to).Draw(t, what) }
	var a [16]byte
	copy(a[:], octets(16, 16, "address"))
	a[0] = 0x20
	c := Change{AgeMS: rapid.Int64().Draw(t, "age")}
	c.Event = rapid.SampledFrom([]binding.Event{binding.Upsert, binding.Upsert, binding.End, binding.DefineLink, binding.RemoveLink}).Draw(t, "event")
	bits := rapid.IntRange(3, 128).Draw(t, "length")
	switch c.Event {
	case binding.DefineLink:
		c.Link = &binding.Link{Label: rapid.StringN(1, 20, 200).Draw(t, "label"), Names: rapid.SliceOfN(rapid.StringN(1, 5, 20), 0, 3).Draw(t, "names"),
			Prefixes: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom16(a), bits).Masked()}}
		if rapid.Bool().Draw(t, "relay") {
			c.Link.Relays = []netip.Addr{netip.AddrFrom16(a)}
		}
		return c
	case binding.RemoveLink:
		c.Link = &binding.Link{Label: rapid.StringN(1, 20, 200).Draw(t, "label")}
		return c
	}
	b := &c.Binding
	b.Kind = binding.Kind(rapid.IntRange(0, 2).Draw(t, "kind"))
	if b.Kind != binding.PD {
		bits = 128
	}
	b.Prefix = netip.PrefixFrom(netip.AddrFrom16(a), bits).Masked()
	b.IAID = rapid.Uint32().Draw(t, "iaid")
	if c.Event == binding.End {
		c.Reason = rapid.SampledFrom([]binding.State{binding.Expired, binding.Released, binding.Declined, binding.Deleted}).Draw(t, "reason")
		b.DUID = octets(0, 3, "duid")
		return c
	}
	b.DUID = octets(1, rapid.SampledFrom([]int{1, 20, 130}).Draw(t, "duid length"), "duid")
	b.Preferred, b.Valid, b.Stamp = rapid.Uint32().Draw(t, "preferred"), rapid.Uint32Min(1).Draw(t, "valid"), rapid.Uint32().Draw(t, "stamp")
	b.LinkName = octets(0, rapid.SampledFrom([]int{0, 1, 255}).Draw(t, "name length"), "link name")
	var levels []binding.Level
	for range rapid.SampledFrom([]int{0, 1, 1, 4, 32}).Draw(t, "levels") {
		levels = append(levels, binding.Level{HopCount: rapid.Byte().Draw(t, "hop-count"), Link: netip.AddrFrom16(a), Options: binary39(rapid.IntRange(4, 30).Draw(t, "level's options"))})
	}
	b.Chain = binding.AppendChain(nil, netip.AddrFrom16(a), levels)
	if rapid.Bool().Draw(t, "options") {
		b.Options = binary39(rapid.IntRange(4, binding.MaxOptions).Draw(t, "length of options"))
	}
	return c
}

var sameOctets = []cmp.Option{cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })}

func TestChangesComeBackAsTheyWent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		changes := rapid.SliceOfN(rapid.Custom(drawAnyChange), 1, 12).Draw(t, "changes")
		if rapid.Bool().Draw(t, "repeat") {
			changes = append(changes, changes...)
		}
		s := Session{Source: rapid.StringMatching(`[a-z]{1,255}`).Draw(t, "source"), Epoch: rapid.Uint64Min(1).Draw(t, "epoch"), Sequence: rapid.Uint64Min(1).Draw(t, "sequence")}
		entry, err := AppendChanges(nil, s, changes)
		if err != nil {
			t.Fatal(err)
		}
		c := newCursor(entry[entryHeader:])
		got := c.session()
		if string(got.source) != s.Source || got.epoch != s.Epoch || got.sequence != s.Sequence {
			t.Fatalf("session %+v, want %+v", got, s)
		}
		back, err := c.changes(nil, start)
		if err != nil {
			t.Fatal(err)
		}
		var want []binding.Change
		for _, ch := range changes {
			if ch.Event == binding.Upsert || ch.Event == binding.End {
				ch.Binding.LastTransaction = ago(start, ch.AgeMS)
			}
			want = append(want, ch.Change)
		}
		if diff := cmp.Diff(want, back, sameOctets...); diff != "" {
			t.Fatalf("changes (-want +got):\n%s", diff)
		}
	})
}

func TestAgo(t *testing.T) {
	for _, tc := range []struct {
		age  int64
		want binding.Time
	}{
		{0, start}, {1500, start - 1500}, {int64(start), 0}, {int64(start) + 1, 0}, {1<<63 - 1, 0}, {-1, start}, {-1 << 63, start},
	} {
		if got := ago(start, tc.age); got != tc.want {
			t.Errorf("%d ms before %d: %d, want %d", tc.age, start, got, tc.want)
		}
	}
}

func TestDecodingAllocatesNothing(t *testing.T) {
	var changes []Change
	for i := range 100 {
		changes = append(changes, upsert(i))
	}
	entry, err := AppendChanges(nil, Session{Source: "kea", Epoch: 1, Sequence: 1}, changes)
	if err != nil {
		t.Fatal(err)
	}
	var room []binding.Change
	decode := func() {
		c := newCursor(entry[entryHeader:])
		c.session()
		if room, err = c.changes(room, start); err != nil {
			t.Fatal(err)
		}
	}
	decode()
	if n := testing.AllocsPerRun(100, decode); n != 0 {
		t.Errorf("%v allocations for 100 changes", n)
	}
}

// FuzzEntry applies any octets as an entry: it is applied or the machine halts with ErrCorrupt or ErrVersion. What can be
// decoded is what the encoder writes for it.
func FuzzEntry(f *testing.F) {
	b := newLog(f)
	s := Session{Source: "kea", Epoch: 1, Sequence: 1}
	f.Add(b.changes(s, upsert(1), upsert(1), release(2), defineLink("lan", "2001:db8:a::/48", "7")).Data)
	f.Add(b.changes(s, Change{Change: binding.Change{Event: binding.RemoveLink, Link: &binding.Link{Label: "lan"}}}).Data)
	f.Add(b.begin(s, true).Data)
	f.Add(b.end(s).Data)
	f.Add(b.tick(1000).Data)
	f.Add(b.settings(testSettings).Data)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) >= entryHeader {
			data = reseal(data)
		}
		e, err := open(data)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
				t.Fatalf("open: error %v", err)
			}
			return
		}
		machine := newFSM(t)
		r := Result{Index: 1, Clock: e.clock}
		if err := machine.applyEntry(e, &r); err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
				t.Fatalf("apply: error %v", err)
			}
			return
		}
		if e.kind == TypeChanges {
			again(t, e)
		}
		restore(t, snapshotOf(t, machine))
	})
}

// again encodes what was decoded, decodes that, and wants the same changes.
func again(t *testing.T, e opened) {
	c := newCursor(e.payload)
	session := c.session()
	got, err := c.changes(nil, maxClock)
	if err != nil {
		t.Fatal(err)
	}
	var changes []Change
	for _, ch := range got {
		changes = append(changes, Change{Change: ch, AgeMS: int64(maxClock - ch.Binding.LastTransaction)})
	}
	entry, err := AppendChanges(nil, Session{Source: "kea", Epoch: session.epoch, Sequence: session.sequence}, changes)
	if err != nil {
		t.Fatalf("what was decoded cannot be encoded: %v", err)
	}
	c = newCursor(entry[entryHeader:])
	c.session()
	back, err := c.changes(nil, maxClock)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, back, sameOctets...); diff != "" {
		t.Fatalf("changes (-first +again):\n%s", diff)
	}
	if !bytes.Equal(c.rest, nil) {
		t.Fatal("octets left")
	}
}
