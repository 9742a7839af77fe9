package kea

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEscapes(t *testing.T) {
	for _, tc := range []struct {
		text, want string
		bad        bool
	}{
		{"", "", false}, {"plain", "plain", false}, {"a&#x2cb", "a,b", false}, {"&#x26", "&", false}, {"&#x00&#xff", "\x00\xff", false}, {"&#x2C", ",", false},
		{"&#x26#x2c", "&#x2c", false},     // one pass: what an escape stands for is not looked at again
		{"&#x26&#x23x2c", "&#x2c", false}, // likewise
		{"a&#x2c;", "a,;", false},
		{"&", "", true}, {"&#x2", "", true}, {"&#xg0", "", true}, {"&amp;", "", true}, {"&#44;", "", true}, {"a&#X2c", "", true},
	} {
		got, err := appendUnescaped(nil, []byte(tc.text))
		if (err != nil) != tc.bad || (!tc.bad && string(got) != tc.want) {
			t.Errorf("%q: %q, %v", tc.text, got, err)
		}
		if tc.bad && !errors.Is(err, ErrEscape) {
			t.Errorf("%q: %v", tc.text, err)
		}
	}
}

// escaped writes text as Kea does.
func escaped(text string) string {
	return strings.NewReplacer("&", "&#x26", ",", "&#x2c").Replace(text)
}

func TestRelayData(t *testing.T) {
	hop := func(n int, link string) string {
		return fmt.Sprintf(`{"hop":%d,"link":"%s","peer":"fe80::%d"}`, n, link, n)
	}
	four := strings.Join([]string{hop(3, "2001:db8::4"), hop(2, "2001:db8::3"), hop(1, "::"), hop(0, "2001:db8::1")}, ",")
	for name, tc := range map[string]struct {
		context string
		links   []string
		options string // hex of the first relay's
		problem string
	}{
		"none":                    {"", nil, "", ""},
		"of an operator":          {`{"note":"x","n":[1,-2.5e3,true,false,null,{"ISC":{"relays":[]}}]}`, nil, "", ""},
		"2.2":                     {`{"ISC":{"relays":[{"hop":0,"link":"2001:db8::1","options":"0x0012000161","peer":"fe80::1"}]}}`, []string{"2001:db8::1"}, "0012000161", ""},
		"3.3":                     {`{"ISC":{"relay-info":[{"hop":0,"link":"2001:db8::1","options":"0x0012000161","peer":"fe80::1","relay-id":"00","remote-id":"00"}]}}`, []string{"2001:db8::1"}, "0012000161", ""},
		"no options":              {`{"ISC":{"relays":[` + hop(0, "2001:db8::1") + `]}}`, []string{"2001:db8::1"}, "", ""},
		"four, outermost first":   {`{"ISC":{"relays":[` + four + `]}}`, []string{"2001:db8::4", "2001:db8::3", "::", "2001:db8::1"}, "", ""},
		"both keys":               {`{"ISC":{"relay-info":[` + hop(0, "2001:db8::1") + `],"relays":[` + hop(0, "2001:db8::2") + `]}}`, []string{"2001:db8::1"}, "", ""},
		"both keys, other order":  {`{"ISC":{"relays":[` + hop(0, "2001:db8::2") + `],"relay-info":[` + hop(0, "2001:db8::1") + `]}}`, []string{"2001:db8::1"}, "", ""},
		"beside an operator's":    {`{"a":[1],"ISC":{"x":{},"relays":[` + hop(0, "2001:db8::1") + `]},"b":2}`, []string{"2001:db8::1"}, "", ""},
		"escaped slash in a key":  {`{"\u0049SC":{"relays":[` + hop(0, "2001:db8::1") + `]}}`, []string{"2001:db8::1"}, "", ""},
		"text of an operator":     {`{"who":"caf\u00c3\u00a9 \" \\ \/ \b\f\n\r\t","ISC":{}}`, nil, "", ""},
		"empty options":           {`{"ISC":{"relays":[{"hop":0,"link":"::","options":"0x","peer":"::"}]}}`, []string{"::"}, "", ""},
		"ISC is no object":        {`{"ISC":1}`, nil, "", ""},
		"no list":                 {`{"ISC":{"relays":{}}}`, nil, "", "not a list"},
		"relay is no object":      {`{"ISC":{"relays":[1]}}`, nil, "", "not an object"},
		"hop too large":           {`{"ISC":{"relays":[` + hop(256, "::") + `]}}`, nil, "", "hop"},
		"hop is text":             {`{"ISC":{"relays":[{"hop":"0","link":"::","peer":"::"}]}}`, nil, "", "hop"},
		"no peer":                 {`{"ISC":{"relays":[{"hop":0,"link":"::"}]}}`, nil, "", "without"},
		"link is a number":        {`{"ISC":{"relays":[{"hop":0,"link":1,"peer":"::"}]}}`, nil, "", "link is not a string"},
		"link is IPv4":            {`{"ISC":{"relays":[{"hop":0,"link":"192.0.2.1","peer":"::"}]}}`, nil, "", "link"},
		"options not hex":         {`{"ISC":{"relays":[{"hop":0,"link":"::","options":"0x001200","peer":"::"}]}}`, nil, "", "options of relay 0"},
		"options without 0x":      {`{"ISC":{"relays":[{"hop":0,"link":"::","options":"0012000161","peer":"::"}]}}`, nil, "", "hex"},
		"options of odd length":   {`{"ISC":{"relays":[{"hop":0,"link":"::","options":"0x001","peer":"::"}]}}`, nil, "", "hex"},
		"options with relay-msg":  {`{"ISC":{"relays":[{"hop":0,"link":"::","options":"0x00090000","peer":"::"}]}}`, nil, "", "relay message"},
		"options break off":       {`{"ISC":{"relays":[` + hop(1, "::") + `,{"hop":0,"link":"::","options":"0x00120002ff","peer":"::"}]}}`, nil, "", "relay 1"},
		"33 relays":               {`{"ISC":{"relays":[` + strings.TrimSuffix(strings.Repeat(hop(1, "::")+",", 33), ",") + `]}}`, nil, "", "33 relays"},
		"more than 16 KiB":        {`{"ISC":{"relays":[{"hop":0,"link":"::","options":"0x00124000` + strings.Repeat("61", 0x4000) + `","peer":"::"}]}}`, nil, "", "octets"},
		"a bad one, then a sound": {`{"ISC":{"relays":[1],"relay-info":[` + hop(0, "2001:db8::1") + `]}}`, []string{"2001:db8::1"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			row := sampleRow(map[string]string{"user_context": escaped(tc.context)})
			got, totals, reports := readText(t, sampleHeader+row, time.Unix(0, 0))
			if len(got.leases) != 1 || totals.Skipped > 0 {
				t.Fatalf("the lease is lost: %+v, %v", totals, reports)
			}
			var links []string
			for _, r := range got.leases[0].GetRelays() {
				a, _ := netip.AddrFromSlice(r.GetLinkAddress())
				links = append(links, a.String())
			}
			if diff := cmp.Diff(tc.links, links); diff != "" {
				t.Errorf("links (-want +got):\n%s", diff)
			}
			if len(links) > 0 && fmt.Sprintf("%x", got.leases[0].GetRelays()[0].GetOptions()) != tc.options {
				t.Errorf("options %x, want %s", got.leases[0].GetRelays()[0].GetOptions(), tc.options)
			}
			if tc.problem == "" {
				if len(reports) > 0 || totals.WithoutRelays > 0 {
					t.Errorf("reports %v", reports)
				}
				return
			}
			if totals.WithoutRelays != 1 || len(reports) != 1 || !reports[0].Kept || !errors.Is(reports[0], ErrRelays) || !strings.Contains(reports[0].Error(), tc.problem) {
				t.Errorf("totals %+v, reports %v, want %q", totals, reports, tc.problem)
			}
		})
	}
}

// TestRelayDataOfTheLineBefore: buffers are used again from line to line.
func TestRelayDataOfTheLineBefore(t *testing.T) {
	with := sampleRow(map[string]string{"hostname": "h.", "user_context": escaped(`{"ISC":{"relays":[{"hop":0,"link":"2001:db8::1","options":"0x0012000161","peer":"::"}]}}`)})
	without := sampleRow(map[string]string{"address": "2001:db8::2", "hostname": ""})
	got, _, _ := readText(t, sampleHeader+with+without, time.Unix(0, 0))
	if len(got.leases) != 2 || len(got.leases[1].GetRelays()) > 0 || len(got.leases[1].GetOptions()) > 0 || len(got.leases[0].GetRelays()) != 1 {
		t.Errorf("leases %v", got.leases)
	}
}

func FuzzLine(f *testing.F) {
	for _, folder := range []string{"testdata/kea-2.2", "testdata/kea-3.3"} {
		text, err := os.ReadFile(folder + "/kea-leases6.csv")
		if err != nil {
			f.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		for i := 1; i < len(lines)-1; i += 97 {
			f.Add(lines[0], lines[i])
		}
	}
	f.Fuzz(func(t *testing.T, header, line string) {
		var p parser
		var err error
		if p.columns, err = parseHeader([]byte(header)); err != nil {
			if !errors.Is(err, ErrHeader) {
				t.Fatalf("header %q: %v", header, err)
			}
			return
		}
		if err := p.parse([]byte(line)); err != nil {
			var field *fieldError
			if !errors.As(err, &field) {
				t.Fatalf("line %q: %v is no field error", line, err)
			}
			return
		}
		a, ok := p.address([]byte(line))
		if !ok || a != p.row.prefix.Addr() {
			t.Fatalf("line %q: address %v when read alone, %v when parsed", line, a, p.row.prefix)
		}
		if p.row.leased() {
			mustBeStorable(t, &p.row)
		}
	})
}

func FuzzUserContext(f *testing.F) {
	f.Add([]byte(`{"ISC":{"relays":[{"hop":0&#x2c"link":"2001:db8::1"&#x2c"options":"0x0012000161"&#x2c"peer":"fe80::1"}]}}`))
	f.Add([]byte(`{"a":[1,2.5e3,true,null,"\u00c3"]}`))
	var u userContext
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := u.parse(text); err != nil {
			if !errors.Is(err, errJSON) && !errors.Is(err, ErrEscape) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if u.problem != nil && len(u.relays) > 0 {
			t.Fatalf("%q: %d relays in spite of %v", text, len(u.relays), u.problem)
		}
		for _, r := range u.relays {
			if !r.link.Is6() || !r.peer.Is6() {
				t.Fatalf("%q: link %v, peer %v", text, r.link, r.peer)
			}
		}
	})
}
