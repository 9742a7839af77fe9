package iscdhcp

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
)

// readAll reads a file that grows in the given pieces; whole says that it does not grow after them.
func readAll(whole bool, pieces ...string) (leases []lease, problems []string) {
	s, p := newSplitter(), newRecordParser(DefaultVariables())
	at, text := place{line: 1}, ""
	take := func(r record) {
		p.parse(r)
		leases = append(leases, p.leases...)
		for _, e := range p.problems {
			problems = append(problems, e.Error())
		}
	}
	for _, piece := range pieces {
		text += piece
		s.reset(strings.NewReader(text[at.offset:]), at)
		for {
			r, err := s.record()
			if errors.Is(err, io.EOF) {
				break
			}
			take(r)
		}
		at = s.resume()
	}
	if whole {
		for r, ok := s.broken(); ok; r, ok = s.broken() {
			take(r)
		}
	}
	return leases, problems
}

func sample(t testing.TB, name string) string {
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEveryTruncation(t *testing.T) {
	text := sample(t, "dhcpd6.leases")
	want, problems := readAll(true, text)
	if len(want) != 31 || len(problems) > 0 {
		t.Fatalf("%d leases, problems %v", len(want), problems)
	}
	for cut := range len(text) {
		if cut > 800 && cut%61 != 0 {
			continue
		}
		got, problems := readAll(false, text[:cut], text[cut:])
		if len(problems) > 0 || !reflect.DeepEqual(got, want) {
			t.Fatalf("cut at %d: %d leases, problems %v", cut, len(got), problems)
		}
		got, problems = readAll(true, text[:cut])
		if len(problems) > 1 || len(got) > len(want) || len(got) > 0 && !reflect.DeepEqual(got, want[:len(got)]) {
			t.Fatalf("broken off at %d: %d leases, problems %v", cut, len(got), problems)
		}
	}
}

func TestExact(t *testing.T) {
	text := "authoring-byte-order big-endian;\n" + `ia-pd "\000\000\001\002\000\003\"\\" { cltt epoch 1000; # at { noon
  iaprefix 2001:db8:100::/40 { binding state active; preferred-life 10; max-life 20; ends epoch 1015;
    set ddns-fwd-name = "a.example"; set other = "x"; on expiry { set x = "}"; if a { b; } }
    set leasehold-link-address = "` + ` \001\015\270\000\000\000\000\000\000\000\000\000\000\000\001` + `"; } }
ia-ta ff:0:1:2:0:4 { iaaddr 2001:db8::1 { binding state active; preferred-life 1; max-life 4294967295; ends never; } cltt 0 2026/11/22 00:00:01; }
failover peer "x" state { my state normal at 1 2026/11/23 00:00:00; }
`
	leases, problems := readAll(true, text)
	if len(problems) > 0 || len(leases) != 2 {
		t.Fatalf("%+v, problems %v", leases, problems)
	}
	pd, ta := leases[0], leases[1]
	if pd.prefix.String() != "2001:db8:100::/40" || pd.iaid != 0x102 || pd.duid[2] != '"' || pd.duid[3] != '\\' || pd.cltt != 1000 || pd.transaction() != 995 ||
		pd.preferred != 10 || pd.name != "a.example." || !pd.leased(1014) || pd.leased(1015) || len(pd.relays) != 1 || pd.relays[0].link.String() != "2001:db8::1" {
		t.Errorf("%+v", pd)
	}
	if ta.iaid != 0xff000102 || string(ta.duid) != "\x00\x04" || ta.cltt != 1795305601 || !ta.infinite() || !ta.leased(1<<40) {
		t.Errorf("%+v", ta)
	}
}

func TestBadRecords(t *testing.T) {
	good := na('a', "a", "active", 1)
	for name, tc := range map[string]struct {
		bad  string
		line int
		err  error
	}{
		"state":           {strings.Replace(good, "active", "odd", 1), 4, ErrSyntax},
		"no state":        {strings.Replace(good, "    binding state active;\n", "", 1), 3, ErrMissing},
		"no max-life":     {strings.Replace(good, "    max-life 7200;\n", "", 1), 3, ErrMissing},
		"no ends":         {strings.Replace(good, "    ends 1 2026/11/23 11:01:00;\n", "", 1), 3, ErrMissing},
		"number":          {strings.Replace(good, "7200", "4294967296", 1), 6, ErrNumber},
		"time":            {strings.Replace(good, "11:01:00", "11:61:00", 1), 7, ErrTime},
		"cltt":            {strings.Replace(good, "09:01:00", "noon", 1), 2, ErrTime},
		"address":         {strings.Replace(good, "2001:db8::a", "fe80::a", 1), 3, ErrAddress},
		"IPv4":            {strings.Replace(good, "2001:db8::a", "192.0.2.1", 1), 3, ErrAddress},
		"short key":       {block("ia-na", "01:02:03:04", "2001:db8::b", "active", 1), 1, ErrKey},
		"long key":        {block("ia-na", "01"+strings.Repeat(":00", 134), "2001:db8::b", "active", 1), 1, ErrKey},
		"escape":          {block("ia-na", `"\777abcdefg"`, "2001:db8::b", "active", 1), 1, ErrKey},
		"prefix in ia-na": {strings.Replace(good, "iaaddr", "iaprefix", 1), 3, ErrSyntax},
		"torn":            {good[:len(good)/2], 1, ErrTorn},
		"glued":           {strings.TrimRight(good[:len(good)/2], "\n"), 1, ErrTorn},
		"open string":     {strings.Replace(good, "    max", "    set x = \"abc;\n    max", 1), 6, ErrString},
		"stray brace":     {"}\n", 1, ErrSyntax},
		"garbage":         {"\x00\xff garbage\n", 1, ErrTorn},
		"unknown":         {"leases 5;\n", 1, ErrSyntax},
		"too long":        {"lease { " + strings.Repeat("x ", maxRecord) + "}\n", 1, ErrLong},
		"byte order":      {"authoring-byte-order odd;\n", 1, ErrSyntax},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := newSplitter(), newRecordParser(nil)
			s.reset(strings.NewReader(na('0', "1", "active", 1)+tc.bad+na('1', "2", "active", 1)), place{line: 1})
			var found []string
			var problems []*lineError
			for {
				r, err := s.record()
				if err != nil {
					break
				}
				p.parse(r)
				problems = append(problems, p.problems...)
				for _, l := range p.leases {
					found = append(found, l.prefix.Addr().String())
				}
			}
			if fmt.Sprint(found) != "[2001:db8::1 2001:db8::2]" {
				t.Errorf("leases %v", found)
			}
			if len(problems) != 1 || !errors.Is(problems[0], tc.err) || problems[0].line != tc.line+strings.Count(good, "\n") {
				t.Errorf("problems %v, want %v at line %d", problems, tc.err, tc.line+strings.Count(good, "\n"))
			}
		})
	}
}

func TestRelayDataThatCannotBeUsedCostsOnlyItself(t *testing.T) {
	for _, set := range []string{`leasehold-link-address = "short"`, `leasehold-hop-count = "\377"`, `leasehold-remote-id-1 = "abc"`, `leasehold-relay-id-2 = %5`,
		`leasehold-interface-id-4 = "` + strings.Repeat("x", binding.MaxChain) + `"`, // a longer chain than the cluster takes
	} {
		text := strings.Replace(na('a', "a", "active", 1), "    max", "    set "+set+";\n    max", 1)
		leases, problems := readAll(true, text)
		if len(leases) != 1 || len(problems) != 1 || len(leases[0].relays) != 0 {
			t.Errorf("%s: %+v, problems %v", set, leases, problems)
		}
	}
}

// TestDamage puts what is broken between good blocks: each good one is found, in order, and nothing else.
func TestDamage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		var want []string
		bad := 0
		for i := range rapid.IntRange(1, 8).Draw(t, "blocks") {
			good := na(byte('a'+i), fmt.Sprintf("%x", i+1), "active", 1)
			switch rapid.IntRange(0, 3).Draw(t, "damage") {
			case 0:
				text.WriteString(good[:rapid.IntRange(1, len(good)-4).Draw(t, "torn at")])
				bad++
			case 1:
				text.WriteString(rapid.StringMatching(`[a-z"\\{};# ]{0,40}`).Draw(t, "garbage"))
			}
			text.WriteString(strings.Repeat("\n", rapid.IntRange(0, 1).Draw(t, "newline")))
			if s := text.String(); strings.Contains(s[strings.LastIndex(s, "\n")+1:], "#") {
				text.WriteString("\n") // or the block would be in a comment
			}
			text.WriteString(good)
			want = append(want, fmt.Sprintf("2001:db8::%x", i+1))
		}
		leases, problems := readAll(true, text.String())
		var got []string
		for _, l := range leases {
			got = append(got, l.prefix.Addr().String())
		}
		if !reflect.DeepEqual(got, want) || len(problems) < bad {
			t.Fatalf("%v, want %v; %d bad, problems %v\n%s", got, want, bad, problems, text.String())
		}
	})
}

func FuzzLeases(f *testing.F) {
	f.Add(sample(f, "dhcpd6.leases")[:4000], 1000)
	f.Add(sample(f, "dhcpd6.hex-rewritten.leases")[:2000], 300)
	f.Add(head+na('a', "a", "active", 1)[:60]+na('b', "b", "active", 1), 100)
	f.Add("x { \"", 2)
	f.Fuzz(func(t *testing.T, text string, cut int) {
		whole, problems := readAll(false, text)
		if cut < 0 || cut > len(text) {
			cut = len(text) / 2
		}
		pieces, others := readAll(false, text[:cut], text[cut:])
		if !reflect.DeepEqual(whole, pieces) || !reflect.DeepEqual(problems, others) {
			t.Errorf("cut at %d: %+v %v, whole: %+v %v", cut, pieces, others, whole, problems)
		}
		for i := range whole {
			l := &whole[i]
			if c := l.change(followNow.UnixMilli()); c == nil {
				t.Error("no change")
			}
		}
		// A good block after anything is found.
		after, _ := readAll(false, text+"\n"+block("ia-na", "01:00:00:00:00:02", "2001:db8::7", "active", 1))
		if len(after) == 0 || after[len(after)-1].prefix.Addr().String() != "2001:db8::7" {
			t.Errorf("a good block behind this is lost: %+v", after)
		}
	})
}

func FuzzConfig(f *testing.F) {
	f.Add(sample(f, "dhcpd6.conf"))
	f.Add("shared-network \"x\" { subnet6 2001:db8::/64 { } }")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "include") {
			t.Skip()
		}
		path := t.TempDir() + "/dhcpd6.conf"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		links, err := ReadConfig(path)
		if err != nil {
			var e *RecordError
			if !errors.As(err, &e) || e.Line < 1 || e.Line > strings.Count(text, "\n")+1 {
				t.Errorf("an error without its place: %v", err)
			}
		}
		for i := range links {
			if err := links[i].Validate(); err != nil {
				t.Error(err)
			}
		}
	})
}
