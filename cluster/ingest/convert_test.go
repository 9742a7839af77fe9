package ingest

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/leasehold/leasehold/fsm"
	"github.com/leasehold/leasehold/fsm/binding"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

func session() fsm.Session { return fsm.Session{Source: "test", Epoch: 1, Sequence: 1} }

func ended(e *ingestv1.End) *ingestv1.Change {
	return &ingestv1.Change{Change: &ingestv1.Change_End{End: e}}
}

func linked(l *ingestv1.Link) *ingestv1.Change {
	return &ingestv1.Change{Change: &ingestv1.Change_DefineLink{DefineLink: l}}
}

func TestInvalidChangesAreRefusedByField(t *testing.T) {
	with := func(f func(l *ingestv1.Lease)) *ingestv1.Change {
		l := lease(1)
		f(l)
		return upsert(l)
	}
	ending := func(f func(e *ingestv1.End)) *ingestv1.Change {
		e := &ingestv1.End{Address: lease(1).Address, Duid: lease(1).Duid, Iaid: 1}
		f(e)
		return ended(e)
	}
	link := func(f func(l *ingestv1.Link)) *ingestv1.Change {
		l := &ingestv1.Link{Label: "5", Names: []string{"5"}, Prefixes: []string{"2001:db8::/64"}, Relays: []string{"2001:db8::1"}}
		f(l)
		return linked(l)
	}
	tests := map[string]struct {
		change *ingestv1.Change
		field  string
	}{
		"nothing":             {&ingestv1.Change{}, "change"},
		"kind":                {with(func(l *ingestv1.Lease) { l.Kind = 3 }), "kind"},
		"no address":          {with(func(l *ingestv1.Lease) { l.Address = nil }), "address"},
		"short address":       {with(func(l *ingestv1.Lease) { l.Address = l.Address[:15] }), "address"},
		"IPv4 address":        {with(func(l *ingestv1.Lease) { l.Address = []byte{192, 0, 2, 1} }), "address"},
		"IPv4 in IPv6":        {with(func(l *ingestv1.Lease) { l.Address = append(make([]byte, 10), 255, 255, 192, 0, 2, 1) }), "address"},
		"unspecified":         {with(func(l *ingestv1.Lease) { l.Address = make([]byte, 16) }), "address"},
		"multicast":           {with(func(l *ingestv1.Lease) { l.Address = append([]byte{0xff, 2}, make([]byte, 14)...) }), "address"},
		"host bits":           {with(func(l *ingestv1.Lease) { l.Kind, l.PrefixLength = ingestv1.Kind_KIND_PD, 64 }), "address"},
		"prefix length":       {with(func(l *ingestv1.Lease) { l.Kind, l.PrefixLength = ingestv1.Kind_KIND_PD, 129 }), "prefix_length"},
		"no duid":             {with(func(l *ingestv1.Lease) { l.Duid = nil }), "duid"},
		"long duid":           {with(func(l *ingestv1.Lease) { l.Duid = make([]byte, 131) }), "duid"},
		"valid 0":             {with(func(l *ingestv1.Lease) { l.Valid = 0 }), "valid"},
		"long link name":      {with(func(l *ingestv1.Lease) { l.LinkName = strings.Repeat("x", 256) }), "link_name"},
		"long options":        {with(func(l *ingestv1.Lease) { l.Options = append([]byte{0, 1, 0x10, 0}, make([]byte, 4096)...) }), "options"},
		"broken options":      {with(func(l *ingestv1.Lease) { l.Options = []byte{0, 1, 0, 5, 1} }), "options"},
		"sender":              {with(func(l *ingestv1.Lease) { l.RelaySender = []byte{1} }), "relay_sender"},
		"hop count":           {with(func(l *ingestv1.Lease) { l.Relays[0].HopCount = 256 }), "relays[0].hop_count"},
		"link-address":        {with(func(l *ingestv1.Lease) { l.Relays[0].LinkAddress = []byte{1, 2} }), "relays[0].link_address"},
		"peer-address":        {with(func(l *ingestv1.Lease) { l.Relays[0].PeerAddress = []byte{1, 2} }), "relays[0].peer_address"},
		"relay options":       {with(func(l *ingestv1.Lease) { l.Relays[0].Options = []byte{0, 18, 0} }), "relays"},
		"relay message":       {with(func(l *ingestv1.Lease) { l.Relays[0].Options = []byte{0, 9, 0, 0} }), "relays"},
		"network, no duid":    {with(func(l *ingestv1.Lease) { l.Duid, l.Relays[0].Options = nil, []byte{0, 68, 0, 1, 0} }), "duid"},
		"end: kind":           {ending(func(e *ingestv1.End) { e.Kind = 9 }), "kind"},
		"end: address":        {ending(func(e *ingestv1.End) { e.Address = nil }), "address"},
		"end: prefix length":  {ending(func(e *ingestv1.End) { e.Kind, e.PrefixLength = ingestv1.Kind_KIND_PD, 200 }), "prefix_length"},
		"end: multicast":      {ending(func(e *ingestv1.End) { e.Address = append([]byte{0xff, 2}, make([]byte, 14)...) }), "address"},
		"end: long duid":      {ending(func(e *ingestv1.End) { e.Duid = make([]byte, 131) }), "duid"},
		"end: reason":         {ending(func(e *ingestv1.End) { e.Reason = 4 }), "reason"},
		"link: no label":      {link(func(l *ingestv1.Link) { l.Label = "" }), "define_link"},
		"link: no prefix":     {link(func(l *ingestv1.Link) { l.Prefixes = nil }), "define_link"},
		"link: prefix":        {link(func(l *ingestv1.Link) { l.Prefixes[0] = "2001:db8::/200" }), "define_link.prefixes[0]"},
		"link: host bits":     {link(func(l *ingestv1.Link) { l.Prefixes[0] = "2001:db8::1/64" }), "define_link"},
		"link: relay":         {link(func(l *ingestv1.Link) { l.Relays[0] = "eth0" }), "define_link.relays[0]"},
		"link: local relay":   {link(func(l *ingestv1.Link) { l.Relays[0] = "fe80::1" }), "define_link"},
		"link: prefixes":      {link(func(l *ingestv1.Link) { l.Prefixes = make([]string, binding.MaxLinkPrefixes+1) }), "define_link.prefixes"},
		"link: relays":        {link(func(l *ingestv1.Link) { l.Relays = make([]string, binding.MaxLinkRelays+1) }), "define_link.relays"},
		"link: empty name":    {link(func(l *ingestv1.Link) { l.Names[0] = "" }), "define_link"},
		"remove link: no one": {&ingestv1.Change{Change: &ingestv1.Change_RemoveLink{}}, "remove_link"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var c converter
			_, err := c.entry(session(), []*ingestv1.Change{upsert(lease(2)), tc.change, upsert(lease(3))}, 0)
			var refused *changeError
			if !errors.As(err, &refused) || !errors.Is(err, binding.ErrInvalid) {
				t.Fatalf("error %v, want a changeError that wraps ErrInvalid", err)
			}
			if refused.change != 1 || refused.field != tc.field {
				t.Errorf("refused change %d for %q (%v), want change 1 for %q", refused.change, refused.field, err, tc.field)
			}
			if s := status.Convert(refusal(9, err)); s.Code() != codes.InvalidArgument || !strings.Contains(s.Message(), "batch 9: change 1: "+tc.field) {
				t.Errorf("refusal is %v", s)
			}
			if _, err := c.entry(session(), []*ingestv1.Change{upsert(lease(2))}, 0); err != nil {
				t.Errorf("the next batch is refused too: %v", err)
			}
		})
	}
}

func TestBatchSizeIsChecked(t *testing.T) {
	var c converter
	for _, n := range []int{0, fsm.MaxChanges + 1} {
		if _, err := c.entry(session(), leases(0, n), 0); !errors.Is(err, binding.ErrInvalid) {
			t.Errorf("%d changes: error %v, want ErrInvalid", n, err)
		}
	}
	if _, err := c.entry(session(), leases(0, fsm.MaxChanges), 0); err != nil {
		t.Errorf("%d changes: %v", fsm.MaxChanges, err)
	}
	big := make([]*ingestv1.Change, 100)
	for i := range big {
		l := lease(i)
		l.Options = append([]byte{0, 1, 0x0f, 0xa0}, bytes.Repeat([]byte{byte(i)}, 4000)...)
		big[i] = upsert(l)
	}
	if _, err := c.entry(session(), big, 0); !errors.Is(err, binding.ErrInvalid) {
		t.Errorf("400 kB of changes: error %v, want ErrInvalid", err)
	}
}

// applied applies an entry at the clock to an empty state machine and gives the only binding that results.
func applied(t *testing.T, entry []byte, clock binding.Time) (binding.Entry, fsm.Result) {
	t.Helper()
	f := fsm.New(fsm.Config{})
	fsm.Seal(entry, clock)
	r, ok := f.Apply(&raft.Log{Index: 1, Data: entry}).(fsm.Result)
	if !ok || r.Err != nil {
		t.Fatalf("result %+v", r)
	}
	v := f.View()
	defer v.Release()
	var c binding.Client
	if !v.Select(binding.Query{}).Next(&c) {
		return binding.Entry{}, r
	}
	e := c.Entries[0]
	e.Chain, e.Options = bytes.Clone(e.Chain), bytes.Clone(e.Options)
	return e, r
}

func TestLeaseArrivesWhole(t *testing.T) {
	const clock = binding.Time(1_700_000_000_000)
	l := lease(7)
	l.AgeMs = 5000
	var c converter
	entry, err := c.entry(session(), []*ingestv1.Change{upsert(l)}, 250)
	if err != nil {
		t.Fatal(err)
	}
	e, _ := applied(t, entry, clock)
	if want := clock - 5250; e.LastTransaction != want {
		t.Errorf("last transaction at %d, want %d: age and time held", e.LastTransaction, want)
	}
	if e.Preferred != 3600 || e.Valid != 7200 || e.IAID != 1 || !bytes.Equal(e.Options, l.Options) || !bytes.Equal(e.Prefix.Addr().AsSlice(), l.Address) {
		t.Errorf("stored %+v of %v", e, l)
	}
	n := 0
	for level := range e.Chain.Levels {
		n++
		r := l.Relays[0]
		if level.HopCount != 1 || !bytes.Equal(level.Link.AsSlice(), r.LinkAddress) || !bytes.Equal(level.Peer.AsSlice(), r.PeerAddress) || !bytes.Equal(level.Options, r.Options) {
			t.Errorf("relay level %+v of %v", level, r)
		}
	}
	if n != 1 {
		t.Errorf("%d relay levels, want 1", n)
	}
}

func TestPreferredIsAtMostValid(t *testing.T) {
	l := lease(7)
	l.Preferred, l.Valid = binding.Infinity, 100
	var c converter
	entry, err := c.entry(session(), []*ingestv1.Change{upsert(l)}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if e, _ := applied(t, entry, 1e12); e.Preferred != 100 {
		t.Errorf("preferred lifetime %d, want 100", e.Preferred)
	}
}

func TestWrongAgesAreBounded(t *testing.T) {
	for _, ms := range []int64{1<<63 - 1, -1 << 63, -5} {
		l := lease(7)
		l.AgeMs, l.Valid = ms, binding.Infinity
		var c converter
		entry, err := c.entry(session(), []*ingestv1.Change{upsert(l)}, 1<<32-1)
		if err != nil {
			t.Fatalf("age %d: %v", ms, err)
		}
		if e, _ := applied(t, entry, 1e13); e.LastTransaction < 0 || e.LastTransaction > 1e13 {
			t.Errorf("age %d: last transaction at %d", ms, e.LastTransaction)
		}
	}
}

func TestLongRelayChainIsLeftOut(t *testing.T) {
	level := &ingestv1.RelayLevel{LinkAddress: lease(1).Relays[0].LinkAddress}
	fat := &ingestv1.RelayLevel{Options: append([]byte{0, 18, 0x40, 0}, make([]byte, 16384)...)}
	tests := map[string]struct {
		relays []*ingestv1.RelayLevel
		kept   int
	}{
		"32 levels": {repeat(level, 32), 32},
		"33 levels": {repeat(level, 33), 0},
		"16 KiB":    {[]*ingestv1.RelayLevel{level, fat}, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			l := lease(7)
			l.Relays = tc.relays
			var c converter
			entry, err := c.entry(session(), []*ingestv1.Change{upsert(l)}, 0)
			if err != nil {
				t.Fatal(err)
			}
			e, _ := applied(t, entry, 1e12)
			kept := 0
			for range e.Chain.Levels {
				kept++
			}
			if kept != tc.kept || !e.Prefix.IsValid() {
				t.Errorf("binding %v with %d levels, want %d", e.Prefix, kept, tc.kept)
			}
			if left := c.chainless > 0; left != (tc.kept == 0) {
				t.Errorf("counted %d chains left out", c.chainless)
			}
		})
	}
}

func repeat(l *ingestv1.RelayLevel, n int) []*ingestv1.RelayLevel {
	out := make([]*ingestv1.RelayLevel, n)
	for i := range out {
		out[i] = l
	}
	return out
}

func TestBindingOfVirtualNetworkIsRefused(t *testing.T) {
	tests := map[string]struct {
		relays  []*ingestv1.RelayLevel
		refused bool
	}{
		"VPN name":        {[]*ingestv1.RelayLevel{{Options: []byte{0, 68, 0, 4, 0, 'v', 'p', 'n'}}}, true},
		"VPN id":          {[]*ingestv1.RelayLevel{{Options: []byte{0, 68, 0, 8, 1, 1, 2, 3, 4, 5, 6, 7}}}, true},
		"no type":         {[]*ingestv1.RelayLevel{{Options: []byte{0, 68, 0, 0}}}, true},
		"inner relay":     {[]*ingestv1.RelayLevel{{}, {Options: []byte{0, 18, 0, 1, 'x', 0, 68, 0, 1, 0}}}, true},
		"too long, inner": {append(repeat(&ingestv1.RelayLevel{}, 40), &ingestv1.RelayLevel{Options: []byte{0, 68, 0, 1, 0}}), true},
		"global":          {[]*ingestv1.RelayLevel{{Options: []byte{0, 68, 0, 1, 255}}}, false},
		"none":            {[]*ingestv1.RelayLevel{{Options: []byte{0, 18, 0, 1, 'x'}}}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			l := lease(7)
			l.Relays = tc.relays
			var c converter
			entry, err := c.entry(session(), []*ingestv1.Change{upsert(l)}, 0)
			if err != nil {
				t.Fatal(err)
			}
			e, r := applied(t, entry, 1e12)
			if (c.refused == 1) != tc.refused || e.Prefix.IsValid() == tc.refused {
				t.Errorf("refused %d, stored %v", c.refused, e.Prefix)
			}
			if tc.refused && (r.Counts.Ignored != 1 || c.refusedKey.String() != "2001:db8:0:1::7") {
				t.Errorf("counts %+v of %v, want it counted as ignored", r.Counts, c.refusedKey)
			}
		})
	}
}

// A converter's memory is used again: what it made before must not change.
func TestEntriesDoNotShareMemory(t *testing.T) {
	var c converter
	first, err := c.entry(session(), leases(0, 10), 0)
	if err != nil {
		t.Fatal(err)
	}
	kept := bytes.Clone(first)
	if _, err := c.entry(session(), leases(1000, 10), 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, kept) {
		t.Error("the first entry changed when the second was made")
	}
}

// FuzzConvert gives arbitrary octets where a feeder states leases: no panic, and what is accepted can be applied.
func FuzzConvert(f *testing.F) {
	l := lease(1)
	f.Add(l.Address, l.Duid, l.Relays[0].LinkAddress, l.Relays[0].Options, l.Options, int64(5), uint32(64), uint8(2))
	f.Add([]byte{}, []byte{}, []byte{}, []byte{0, 68, 0, 1, 0}, []byte{}, int64(-5), uint32(0), uint8(0))
	f.Fuzz(func(t *testing.T, addr, duid, link, relay, options []byte, age int64, length uint32, kind uint8) {
		in := []*ingestv1.Change{
			upsert(&ingestv1.Lease{Kind: ingestv1.Kind(kind), Address: addr, PrefixLength: length, Duid: duid, Valid: length, AgeMs: age, Options: options,
				Relays: []*ingestv1.RelayLevel{{LinkAddress: link, Options: relay}}}),
			ended(&ingestv1.End{Kind: ingestv1.Kind(kind), Address: addr, PrefixLength: length, Duid: duid, AgeMs: age}),
		}
		var c converter
		entry, err := c.entry(session(), in, 0)
		if err != nil {
			if !errors.Is(err, binding.ErrInvalid) {
				t.Fatalf("error %v does not wrap ErrInvalid", err)
			}
			return
		}
		fsm.Seal(entry, 1e12)
		m := fsm.New(fsm.Config{Halt: func(err error) { t.Fatalf("accepted entry cannot be applied: %v", err) }})
		m.Apply(&raft.Log{Index: 1, Data: entry})
	})
}

func BenchmarkConvert(b *testing.B) {
	const n = 512
	in := leases(0, n)
	var c converter
	octets := 0
	for b.Loop() {
		entry, err := c.entry(session(), in, 0)
		if err != nil {
			b.Fatal(err)
		}
		octets = len(entry)
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "bindings/s")
	b.ReportMetric(float64(octets)/n, "octets/binding")
}
