package fsm

import (
	"bytes"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/fsm/binding"
)

func unhex(t testing.TB, lines ...string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Join(lines, ""), " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// reseal writes the checksum that belongs to what the entry holds now.
func reseal(entry []byte) []byte {
	sum := checksum(entry)
	entry[16], entry[17], entry[18], entry[19] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
	return entry
}

func TestEntryOctets(t *testing.T) {
	b := newLog(t)
	b.clock = 0x01_8f_00_00_00_00
	c := upsert(5)
	c.Binding.Chain = c.Binding.Chain[:16+1+32+2]
	c.Binding.Chain[len(c.Binding.Chain)-2], c.Binding.Chain[len(c.Binding.Chain)-1] = 0, 0
	got := b.changes(Session{Source: "kea", Epoch: 0x1122, Sequence: 300}, c, release(5), defineLink("lan", "2001:db8:a::/48", "7")).Data
	want := unhex(t,
		"4c48",                                   // magic "LH"
		"01",                                     // version
		"01",                                     // type: changes
		"00",                                     // flags
		"000000",                                 // reserved
		"0000018f00000000",                       // clock
		"00000000",                               // checksum, see below
		"03 6b6561",                              // source "kea"
		"0000000000001122",                       // epoch
		"ac02",                                   // sequence 300
		"03",                                     // three changes
		"01",                                     // upsert, NA
		"00",                                     // nothing repeated
		"d00f",                                   // age 1000 ms
		"80 20010db8 000a0000 00000000 00000005", // 2001:db8:a::5/128
		"00000005",                               // iaid
		"04 00010005",                            // duid
		"00000708",                               // preferred 1800
		"00000e10",                               // valid 3600
		"00000011",                               // stamp
		"01 37",                                  // link name "7"
		"33",                                     // chain of 51 octets
		"00000000 00000000 00000000 00000000",    // sender ::
		"01",                                     // hop-count
		"20010db8 000a0000 00000000 00000001",    // link-address
		"fe800000 00000000 00000000 00000001",    // peer-address
		"0000",                                   // no options
		"05 0027000100",                          // option 39
		"42",                                     // end, NA, released
		"01",                                     // the duid repeated
		"e807",                                   // age 500 ms
		"80 20010db8 000a0000 00000000 00000005",
		"00000005",
		"03",                   // define-link
		"03 6c616e",            // label "lan"
		"01 01 37",             // one name, "7"
		"01 30 20010db8 000a",  // one prefix, 2001:db8:a::/48
		"01 20010db8 000a0000", // one relay address
		"00000000 00000001",
	)
	sum := crc32.Update(crc32.Checksum(want[:16], castagnoli), castagnoli, want[20:])
	want[16], want[17], want[18], want[19] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
	if !bytes.Equal(got, want) {
		t.Errorf("entry\n%x\nwant\n%x", got, want)
	}
}

func TestHaltsAtAnEntryThatCannotBeRead(t *testing.T) {
	b := newLog(t)
	good := b.changes(Session{Source: "kea", Epoch: 1, Sequence: 1}, upsert(1), defineLink("lan", "2001:db8:a::/48", "7")).Data
	tick := b.tick(10).Data
	changed := func(entry []byte, change func([]byte) []byte) []byte { return reseal(change(bytes.Clone(entry))) }
	set := func(at int, value byte) func([]byte) []byte {
		return func(e []byte) []byte { e[at] = value; return e }
	}
	unsealed := AppendTick(nil, 1)
	for name, tc := range map[string]struct {
		data   []byte
		reason error
		text   string
	}{
		"empty":                 {nil, ErrCorrupt, "0 octets, a header has 20"},
		"header cut":            {tick[:19], ErrCorrupt, "19 octets"},
		"not an entry":          {[]byte("hello, this is not an entry"), ErrCorrupt, "magic"},
		"not sealed":            {unsealed, ErrCorrupt, "checksum"},
		"newer version":         {changed(tick, set(2, 2)), ErrVersion, "entry of version 2, this node reads version 1"},
		"unknown type":          {changed(tick, set(3, 200)), ErrVersion, "(type 200)"},
		"unknown flag":          {changed(tick, set(4, 2)), ErrCorrupt, "flags"},
		"reserved octet":        {changed(tick, set(7, 1)), ErrCorrupt, "flags"},
		"clock past all time":   {changed(tick, set(9, 1)), ErrCorrupt, "clock"},
		"clock before 1970":     {changed(tick, set(8, 0x80)), ErrCorrupt, "clock"},
		"too long":              {changed(append(bytes.Clone(tick), make([]byte, MaxEntry)...), set(0, 'L')), ErrCorrupt, "more than"},
		"octets behind":         {changed(append(bytes.Clone(tick), 0), set(0, 'L')), ErrCorrupt, "1 octets too many"},
		"tick limit":            {changed(append(bytes.Clone(tick[:20]), 0xff, 0xff, 0xff, 0x7f), set(0, 'L')), ErrCorrupt, "limit at offset 4"},
		"changes cut":           {changed(good[:len(good)-3], set(0, 'L')), ErrCorrupt, "change 1 of 2"},
		"event unknown":         {changed(good, set(34, 7)), ErrCorrupt, "change 0 of 2"},
		"kind unknown":          {changed(good, set(34, 1|3<<3)), ErrCorrupt, "kind 3"},
		"reason of an upsert":   {changed(good, set(34, 1|1<<5)), ErrCorrupt, "event at offset"},
		"repetition unknown":    {changed(good, set(35, 0x10)), ErrCorrupt, "repetitions"},
		"no changes":            {changed(good, set(33, 0)), ErrCorrupt, "number of changes"},
		"source without name":   {changed(good, set(20, 0)), ErrCorrupt, ""},
		"valid lifetime 0":      {changed(good, func(e []byte) []byte { i := bytes.Index(e, []byte{0, 0, 0x0e, 0x10}); e[i+2], e[i+3] = 0, 0; return e }), ErrCorrupt, "valid lifetime 0"},
		"begin with links 2":    {reseal(append(begun(t, b), 2)), ErrCorrupt, "links at offset"},
		"settings without duid": {reseal(append(appendEntryHeader(nil, TypeSettings), make([]byte, 18)...)), ErrCorrupt, "not a UUID"},
		"settings cut":          {changed(settled(t)[:25], set(0, 'L')), ErrCorrupt, "cluster id at offset 0"},
		"catch-up of a century": {changed(append(settled(t)[:43], 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1), set(0, 'L')), ErrCorrupt, "catch-up"},
	} {
		t.Run(name, func(t *testing.T) {
			err := halted(t, &raft.Log{Index: 77, Term: 1, Type: raft.LogCommand, Data: tc.data})
			var entry *EntryError
			if !errors.Is(err, tc.reason) || !errors.As(err, &entry) || entry.Index != 77 {
				t.Fatalf("error %v, want one that wraps %v", err, tc.reason)
			}
			for _, part := range []string{"log entry 77 (", tc.text} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
}

func begun(t testing.TB, b *builder) []byte {
	t.Helper()
	e := bytes.Clone(b.begin(Session{Source: "kea", Epoch: 1, Sequence: 1}, true).Data)
	return e[:len(e)-1]
}

func settled(t testing.TB) []byte {
	t.Helper()
	return newLog(t).settings(testSettings).Data
}

func TestHaltsWithoutHalt(t *testing.T) {
	defer func() {
		if err, ok := recover().(error); !ok || !errors.Is(err, ErrCorrupt) {
			t.Errorf("recovered %v, want an error that wraps ErrCorrupt", err)
		}
	}()
	New(Config{}).Apply(&raft.Log{Index: 1, Type: raft.LogCommand, Data: []byte("x")})
	t.Error("a corrupt entry was applied")
}

func TestEveryChangedBitOfAnEntryIsNoticed(t *testing.T) {
	b := newLog(t)
	for _, l := range []*raft.Log{
		b.changes(Session{Source: "kea", Epoch: 1, Sequence: 1}, upsert(1), release(2)), b.tick(10), b.settings(testSettings),
	} {
		for bit := range 8 * len(l.Data) {
			data := bytes.Clone(l.Data)
			data[bit/8] ^= 1 << (bit % 8)
			if err := halted(t, &raft.Log{Index: 1, Type: raft.LogCommand, Data: data}); err == nil {
				t.Fatalf("bit %d of entry %d", bit, l.Index)
			}
		}
	}
}

func TestUnknownEntryMayBeIgnorable(t *testing.T) {
	b := newLog(t)
	entry := append(appendEntryHeader(nil, 200), "of a later version"...)
	entry[offFlags] = flagIgnorable
	f := newFSM(t)
	if r := apply(t, f, b.add(entry, nil)); r.Clock != start || f.Clock() != start {
		t.Errorf("clock %d after an ignorable entry of %d", f.Clock(), start)
	}
}

func TestSealKeepsTheClockInBounds(t *testing.T) {
	for clock, want := range map[binding.Time]binding.Time{-5: 0, 7: 7, maxClock + 5: maxClock} {
		e := AppendTick(nil, 1)
		Seal(e, clock)
		if got, err := open(e); err != nil || got.clock != want {
			t.Errorf("sealed at %d: %d, %v, want %d", clock, got.clock, err, want)
		}
	}
}

func TestAppendAddsToWhatIsThere(t *testing.T) {
	s := Session{Source: "kea", Epoch: 1, Sequence: 1}
	for name, appendTo := range map[string]func([]byte) ([]byte, error){
		"changes":  func(b []byte) ([]byte, error) { return AppendChanges(b, s, []Change{upsert(1)}) },
		"begin":    func(b []byte) ([]byte, error) { return AppendResyncBegin(b, s, true) },
		"end":      func(b []byte) ([]byte, error) { return AppendResyncEnd(b, s) },
		"tick":     func(b []byte) ([]byte, error) { return AppendTick(b, 5), nil },
		"settings": func(b []byte) ([]byte, error) { return AppendSettings(b, testSettings) },
	} {
		alone, err := appendTo(nil)
		behind, err2 := appendTo([]byte("before"))
		if err != nil || err2 != nil || string(behind) != "before"+string(alone) {
			t.Errorf("%s: %x, %v behind what was there, %x, %v alone", name, behind, err2, alone, err)
		}
	}
}

func TestAppendRefusesWhatIsInvalid(t *testing.T) {
	good := Session{Source: "kea", Epoch: 1, Sequence: 1}
	one := []Change{upsert(1)}
	noDUID := upsert(2)
	noDUID.Binding.DUID = nil
	huge := make([]Change, MaxChanges)
	for i := range huge {
		huge[i] = upsert(i)
		huge[i].Binding.Options = binary39(400)
		huge[i].Binding.Options[4] = byte(i)
		huge[i].Binding.Options[5] = byte(i >> 8)
	}
	for name, tc := range map[string]struct {
		s       Session
		changes []Change
		text    string
	}{
		"no source":         {Session{Epoch: 1, Sequence: 1}, one, "source name of 0 octets"},
		"long source":       {Session{Source: strings.Repeat("x", 256), Epoch: 1, Sequence: 1}, one, "source name of 256 octets"},
		"source not UTF-8":  {Session{Source: "\xff", Epoch: 1, Sequence: 1}, one, "not printable UTF-8"},
		"source with a tab": {Session{Source: "a\tb", Epoch: 1, Sequence: 1}, one, "not printable UTF-8"},
		"epoch 0":           {Session{Source: "kea", Sequence: 1}, one, "epoch 0"},
		"sequence 0":        {Session{Source: "kea", Epoch: 1}, one, "sequence 0"},
		"no changes":        {good, nil, "0 changes"},
		"too many changes":  {good, make([]Change, MaxChanges+1), "1025 changes"},
		"bad change":        {good, []Change{upsert(1), noDUID}, "change 1 of 2"},
		"too large":         {good, huge, "want at most 262144"},
	} {
		dst := []byte("before")
		got, err := AppendChanges(dst, tc.s, tc.changes)
		if !errors.Is(err, binding.ErrInvalid) || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: error %v, want one that says %q", name, err, tc.text)
		}
		if string(got) != "before" {
			t.Errorf("%s: %d octets were appended", name, len(got)-len("before"))
		}
	}
	if _, err := AppendResyncBegin(nil, Session{}, false); !errors.Is(err, binding.ErrInvalid) {
		t.Errorf("resync of nobody: error %v", err)
	}
	if _, err := AppendResyncEnd(nil, Session{}); !errors.Is(err, binding.ErrInvalid) {
		t.Errorf("end of a resync of nobody: error %v", err)
	}
}

// binary39 is an option 39 of n octets in all.
func binary39(n int) []byte {
	b := make([]byte, n)
	b[1], b[2], b[3] = 39, byte((n-4)>>8), byte(n-4)
	return b
}
