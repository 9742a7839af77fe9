package dnsmasq

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/feed/leasetest"
)

func sample(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSampleFile(t *testing.T) {
	text := sample(t, "dnsmasq.leases")
	s, want := parseLeases([]byte("1795000000 02:00:5e:00:53:01 192.0.2.9 host *\n"+text)), leasetest.ReadDnsmasq(text)
	if len(s.problems) > 0 || len(s.leases) != len(want) || len(want) != 6 {
		t.Fatalf("%d leases, want %d; problems %v", len(s.leases), len(want), s.problems)
	}
	for a, l := range s.leases {
		w := want[a.String()+"/128"]
		if fmt.Sprint(l.expires) != w[0] || fmt.Sprint(l.iaid) != w[1] || (l.name != w[3] && w[3] != "*") {
			t.Errorf("%+v, want %v", l, w)
		}
	}
}

// sampleEvents are those of the recorded script, as messages.
func sampleEvents(t testing.TB) (out []message) {
	t.Helper()
	for part := range strings.SplitSeq(sample(t, "dhcp-script.env.txt"), "--- argv: ") {
		lines := strings.Split(strings.TrimSpace(part), "\n")
		if lines[0] == "" {
			continue
		}
		m := message{Args: strings.Split(strings.Trim(lines[0], "[]"), "] ["), Environment: map[string]string{}}
		for _, line := range lines[1:] {
			name, value, _ := strings.Cut(line, "=")
			m.Environment[name] = value
		}
		out = append(out, m)
	}
	return out
}

func TestSampleEvents(t *testing.T) {
	relays, held := map[netip.Addr]netip.Addr{}, map[netip.Addr]bool{}
	for _, m := range sampleEvents(t) {
		line, err := json.Marshal(m)
		must(t, err)
		e, err := parseEvent(line)
		if err != nil {
			t.Fatalf("%v: %v", m, err)
		}
		if e.added {
			relays[e.lease.address] = e.lease.relay
		}
		held[e.lease.address] = !e.gone
	}
	// What is held at the end is what the file of the same run has; every add had its relay, which is in the address's subnet here.
	s := parseLeases([]byte(sample(t, "dnsmasq.leases")))
	for a, h := range held {
		if _, ok := s.leases[a]; ok != h {
			t.Errorf("%v: held %v, in the file %v", a, h, ok)
		}
	}
	if len(relays) != 9 {
		t.Errorf("%d adds", len(relays))
	}
	for a, relay := range relays {
		if p, _ := relay.Prefix(64); !p.Contains(a) {
			t.Errorf("%v is behind %v", a, relay)
		}
	}
}

func TestEveryTruncation(t *testing.T) {
	text := sample(t, "dnsmasq.leases")
	whole := parseLeases([]byte(text))
	for cut := range len(text) {
		s := parseLeases([]byte(text[:cut]))
		lines, torn := strings.Count(text[:cut], "\n"), cut > 0 && text[cut-1] != '\n'
		if len(s.leases) != max(lines-1, 0) || (len(s.problems) == 1) != torn || torn && (s.problems[0].Line != lines+1 || !errors.Is(s.problems[0].Err, ErrTorn)) {
			t.Fatalf("cut at %d: %d leases, %v", cut, len(s.leases), s.problems)
		}
		for a, l := range s.leases {
			if whole.leases[a] != l {
				t.Fatalf("cut at %d: %+v", cut, l)
			}
		}
	}
}

func TestBadLines(t *testing.T) {
	const good = "1795432958 7 2001:db8::1 h0 00:01:02:03"
	for name, tc := range map[string]struct {
		line string
		err  error
		kept bool // whether the address is known all the same
	}{
		"few":      {"1795432958 7 2001:db8::1 h0", ErrFields, false},
		"many":     {good + " 00:01", ErrFields, true},
		"expiry":   {strings.Replace(good, "17", "x", 1), ErrNumber, true},
		"length":   {strings.Replace(good, "1795432958", "7200", 1), ErrLength, true},
		"iaid":     {strings.Replace(good, " 7 ", " 4294967296 ", 1), ErrNumber, true},
		"address":  {strings.Replace(good, "2001:db8::1", "fe80::1", 1), ErrAddress, false},
		"zone":     {strings.Replace(good, "2001:db8::1", "2001:db8::1%eth0", 1), ErrAddress, false},
		"duid":     {strings.Replace(good, "00:01:02:03", "*", 1), ErrDUID, true},
		"long":     {good + strings.Repeat(":00", 130), ErrDUID, true},
		"own duid": {"duid xx", ErrDUID, false},
	} {
		s := parseLeases([]byte("duid 00:01\n" + tc.line + "\n" + strings.Replace(good, "::1", "::2", 1) + "\n"))
		if len(s.problems) != 1 || s.problems[0].Line != 2 || !errors.Is(s.problems[0].Err, tc.err) || len(s.leases) != 1 || s.refused[netip.MustParseAddr("2001:db8::1")] != tc.kept {
			t.Errorf("%s: %v, %d leases, refused %v", name, s.problems, len(s.leases), s.refused)
		}
	}
	newer := parseLeases([]byte("vendorclass 2001:db8::1 00:00:7e:d9\nagent-info 192.0.2.9 52:01\n")) // of 2.91
	if len(newer.problems)+len(newer.leases) != 0 {
		t.Errorf("%+v", newer)
	}
	ta := parseLeases([]byte("0 T7 2001:db8::1 * 00:01:02:03\n"))
	if l := ta.leases[netip.MustParseAddr("2001:db8::1")]; l.kind != 1 || l.iaid != 7 || l.expires != 0 {
		t.Errorf("%+v", l)
	}
}

// TestMixedLines puts lines that mean nothing between good ones: each good one is found, whatever is around it.
func TestMixedLines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		var want []string
		for i := range rapid.IntRange(1, 20).Draw(t, "lines") {
			text.WriteString(rapid.StringMatching(`([0-9a-fT:* .]{0,30}\n)?`).Draw(t, "noise"))
			fmt.Fprintf(&text, "1795432958 %d 2001:db8::%x * 00:01:02:03\n", i, i+1)
			want = append(want, fmt.Sprintf("2001:db8::%x", i+1))
		}
		got := parseLeases([]byte(text.String()))
		for _, a := range want {
			if _, ok := got.leases[netip.MustParseAddr(a)]; !ok {
				t.Fatalf("%s is lost: %q", a, text.String())
			}
		}
	})
}

func FuzzLeases(f *testing.F) {
	f.Add(sample(f, "dnsmasq.leases"))
	f.Add("1795000000 02:00:5e:00:53:01 192.0.2.9 host *\n0 T7 2001:db8::1 * 00:01:02:03\n")
	f.Fuzz(func(t *testing.T, text string) {
		s := parseLeases([]byte(text))
		for _, e := range s.problems {
			if e.Line < 1 || e.Line > strings.Count(text, "\n")+1 || e.Err == nil {
				t.Errorf("%+v", e)
			}
		}
		again := parseLeases([]byte(text + "\n1795432958 7 2001:db8::ffff h0 00:01:02:03\n"))
		if _, ok := again.leases[netip.MustParseAddr("2001:db8::ffff")]; !ok {
			t.Error("a good line behind this is lost")
		}
		for _, a := range slices.Collect(maps.Keys(s.leases)) {
			l := s.leases[a]
			l.granted(1795000000)
			if c := l.upsert(0); c.GetUpsert().GetValid() == 0 {
				t.Errorf("%+v", c)
			}
		}
	})
}

func FuzzEvent(f *testing.F) {
	for _, m := range sampleEvents(f) {
		line, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := parseEvent(line)
		if err == nil && (!e.lease.address.Is6() || len(e.lease.duid) == 0) {
			t.Errorf("%+v", e)
		}
	})
}
