package kea

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// linkText writes a link on one line.
func linkText(l link) string {
	text := l.Label + " [" + strings.Join(l.Names, " ") + "]"
	for _, p := range l.Prefixes {
		text += " " + p.String()
	}
	for _, a := range l.Relays {
		text += " @" + a.String()
	}
	return text
}

func linkTexts(links []link) (out []string) {
	for _, l := range links {
		out = append(out, linkText(l))
	}
	return out
}

func TestConfigOfTheSamples(t *testing.T) {
	want := []string{
		"subnet 1 [1] 2001:db8:1000::/64", "subnet 2 [2] 2001:db8:1001::/64", "subnet 300 [300] 2001:db8:1002::/64", "subnet 5 [5] 2001:db8:1005::/64",
		"subnet 6 [6] 2001:db8:1006::/64", "subnet 8 [8] 2001:db8:1008::/64", "subnet 7 [7] 2001:db8:1007::/64",
		"shared-network metro-ring [1003 1004] 2001:db8:1003::/64 2001:db8:1004::/64",
	}
	for _, s := range samples {
		links, warnings, err := ReadConfig(filepath.Join(s.folder, "kea.conf"))
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%v, warnings %v", err, warnings)
		}
		if diff := cmp.Diff(want, linkTexts(links)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.folder, diff)
		}
	}
}

func TestConfigAsPeopleWriteIt(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{
		"kea.conf": `# a comment with " in it
{ "Dhcp6": { // another
  /* and "one
     more" */
  "valid-lifetime": 4000, "x": "a # no // comment /* here */", "y": [ 1, -2.5, true, null, ],
  "shared-networks": [ {
      "relay": { "ip-addresses": [ "2001:db8:9::1", "fe80::1", ] },
      "subnet6": [
        { "subnet": "2001:db8:2::/64", "id": 20, "relay": { "ip-address": "2001:db8:2::1" }, },
        { "id": 10, "subnet": "2001:db8:1::1/64", "pd-pools": [ { "prefix": "2001:db8:f000::", "prefix-len": 40, "delegated-len": 56 } ] },
      ],
      "name": "net \"one\"",
    }, { "name": "empty" } ],
  "subnet6": [ <? include
"more.json" ?> { "subnet": "2001:db8:4::/48" } ],
 }, "Control-agent": {} }
# the end`,
		"more.json": `<?include"none.json"?> { "id": 30, "subnet": "2001:db8:3::/64", "relay": { "ip-addresses": [ "2001:db8:3::1", "2001:db8:3::1" ] } }, // and a comma` + "\n",
		"none.json": "// nothing\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	links, warnings, err := ReadConfig(filepath.Join(folder, "kea.conf"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`shared-network net "one" [20 10] 2001:db8:1::/64 2001:db8:2::/64 @2001:db8:2::1 @2001:db8:9::1`,
		"subnet 30 [30] 2001:db8:3::/64 @2001:db8:3::1",
		"subnet 2001:db8:4::/48 [] 2001:db8:4::/48",
	}
	if diff := cmp.Diff(want, linkTexts(links)); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
	var places []string
	for _, w := range warnings {
		places = append(places, strings.TrimPrefix(w.Place.String(), folder+"/")+" "+strings.Fields(w.Reason)[0])
	}
	if diff := cmp.Diff([]string{"kea.conf:7:53 relay", "kea.conf:13:8 shared", "kea.conf:15:16 subnet"}, places); diff != "" {
		t.Errorf("warnings (-want +got):\n%s\n%v", diff, warnings)
	}
}

func TestBadConfig(t *testing.T) {
	in := func(dhcp6 string) string { return "{\n \"Dhcp6\": {\n" + dhcp6 + "\n }\n}" }
	for name, tc := range map[string]struct {
		text         string
		line, column int
		says         string
	}{
		"empty":               {"", 1, 1, "want an object"},
		"a list":              {"[]", 1, 1, "want an object"},
		"no Dhcp6":            {`{"Dhcp4":{}}`, 1, 1, "no Dhcp6"},
		"something behind":    {in("") + "\n}", 6, 1, "behind the end"},
		"no comma":            {in(`"a": 1 "b": 2`), 3, 8, "want ','"},
		"string without end":  {in(`"a": "b` + "\n" + `"`), 3, 7, "string without end"},
		"comment without end": {in(`"a": 1, /* b`), 3, 9, "comment without end"},
		"bad value":           {in(`"a": yes`), 3, 6, "want a value"},
		"bad number":          {in(`"a": 1-2`), 3, 6, "bad number"},
		"subnet6 no list":     {in(`"subnet6": {}`), 3, 12, "want an array"},
		"no prefix":           {in(`"subnet6": [ { "id": 1 } ]`), 3, 14, "without its prefix"},
		"bad prefix":          {in(`"subnet6": [ { "id": 1, "subnet": "2001:db8::/129" } ]`), 3, 35, "subnet"},
		"IPv4 prefix":         {in(`"subnet6": [ { "id": 1, "subnet": "192.0.2.0/24" } ]`), 3, 35, "not IPv6"},
		"id is text":          {in(`"subnet6": [ { "id": "1", "subnet": "2001:db8::/64" } ]`), 3, 22, "want a number"},
		"id too large":        {in(`"subnet6": [ { "id": 4294967295, "subnet": "2001:db8::/64" } ]`), 3, 22, "whole number"},
		"id twice":            {in(`"subnet6": [ { "id": 1, "subnet": "2001:db8::/64" },` + "\n" + ` { "id": 1, "subnet": "2001:db8:1::/64" } ]`), 4, 2, "also that of the subnet at"},
		"relay no object":     {in(`"subnet6": [ { "id": 1, "relay": [] } ]`), 3, 34, "want an object"},
		"relay bad address":   {in(`"subnet6": [ { "id": 1, "relay": { "ip-addresses": [ "x" ] } } ]`), 3, 54, "not IPv6"},
		"network no name":     {in(`"shared-networks": [ { "subnet6": [] } ]`), 3, 22, "without name"},
		"network twice": {in(`"shared-networks": [ { "name": "a", "subnet6": [ { "id": 1, "subnet": "2001:db8::/64" } ] },` + "\n" +
			`{ "name": "a", "subnet6": [ { "id": 2, "subnet": "2001:db8:1::/64" } ] } ]`), 4, 1, "is also at"},
		"too deep":          {in(`"a": ` + strings.Repeat("[", 200)), 3, 105, "nested deeper"},
		"include of none":   {in(`"subnet6": [ <?include "none.json"?> ]`), 3, 14, "no such file"},
		"include, no name":  {in(`"subnet6": [ <?include none.json?> ]`), 3, 14, "want <?include"},
		"no mark":           {in(`"subnet6": [ <?> ]`), 3, 14, "want <?include"},
		"not include":       {in(`"subnet6": [ <?exclude "none.json"?> ]`), 3, 14, "want <?include"},
		"include, no end":   {in(`"subnet6": [ <?include "none.json" ]`), 3, 14, "want <?include"},
		"include of itself": {`<?include "kea.conf"?>`, 1, 1, "nested deeper than 10"},
		"many includes":     {strings.Repeat(`<?include "/dev/null"?>`, 1001), 1, 23001, "more than 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, "kea.conf", tc.text)
			_, _, err := ReadConfig(path)
			var bad *ConfigError
			if !errors.As(err, &bad) {
				t.Fatalf("error %v", err)
			}
			if bad.Place != (Place{path, tc.line, tc.column}) || !strings.Contains(bad.Error(), tc.says) {
				t.Errorf("%v, want %d:%d and %q", bad, tc.line, tc.column, tc.says)
			}
		})
	}
}

func TestLinkThatIsLeftOut(t *testing.T) {
	path := writeFile(t, "kea.conf", `{"Dhcp6":{"subnet6":[{"id":1,"subnet":"::/0"},{"id":2,"subnet":"2001:db8::/64"}]}}`)
	links, warnings, err := ReadConfig(path)
	if err != nil || len(links) != 1 || links[0].Label != "subnet 2" {
		t.Fatalf("links %v, error %v", linkTexts(links), err)
	}
	if len(warnings) != 1 || warnings[0].Place != (Place{path, 1, 22}) || !strings.Contains(warnings[0].Reason, "unicast") {
		t.Errorf("warnings %v", warnings)
	}
}

// TestNamesOfAnyOctets: Kea takes what it finds, and tells it octet by octet; the cluster takes UTF-8.
func TestNamesOfAnyOctets(t *testing.T) {
	for name, want := range map[string]string{
		"Zürich": "Zürich", "Z\xfcrich": "Zürich", "Z\\u00fcrich": "Zürich", "Z\\u00c3\\u00bcrich": "Zürich",
	} {
		path := writeFile(t, "kea.conf", `{"Dhcp6":{"shared-networks":[{"name":"`+name+`","subnet6":[{"id":1,"subnet":"2001:db8::/64"}]}]}}`)
		links, _, err := ReadConfig(path)
		if err != nil || len(links) != 1 || links[0].Label != "shared-network "+want {
			t.Errorf("%q: links %q, error %v", name, linkTexts(links), err)
		}
	}
}

func TestPlaceInAnIncludedFile(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{
		"kea.conf": "{ \"Dhcp6\": { \"subnet6\": [\n<?include \"a.json\"?>, { \"id\": 2, \"subnet\": \"y\" } ] } }",
		"a.json":   "\n\n  { \"id\": 1, \"subnet\": \"2001:db8::/64\" }",
		"b.conf":   "{ \"Dhcp6\": { \"subnet6\": [\n<?include \"b.json\"?> ] } }",
		"b.json":   "\n\n  { \"id\": 1, \"subnet\": \"x\" }",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for config, want := range map[string]Place{
		"kea.conf": {filepath.Join(folder, "kea.conf"), 2, 44},
		"b.conf":   {filepath.Join(folder, "b.json"), 3, 24},
	} {
		_, _, err := ReadConfig(filepath.Join(folder, config))
		var bad *ConfigError
		if !errors.As(err, &bad) || bad.Place != want {
			t.Errorf("%s: %v, want it at %v", config, err, want)
		}
	}
}

func TestConfigThatIsNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kea.conf")
	if _, _, err := ReadConfig(path); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
}

func TestLinksAreStatedFirst(t *testing.T) {
	folder := samples[1].folder
	got, totals := read(t, Config{Files: []string{folder + "/kea-leases6.csv"}, KeaConfig: folder + "/kea.conf"}, time.Unix(0, 0))
	if diff := cmp.Diff([]string{"begin with links", "end"}, got.steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if len(got.links) != 8 || totals.Links != 8 {
		t.Fatalf("links %v", got.links)
	}
	ring := got.links[7]
	if ring.GetLabel() != "shared-network metro-ring" || strings.Join(ring.GetNames(), " ") != "1003 1004" ||
		strings.Join(ring.GetPrefixes(), " ") != "2001:db8:1003::/64 2001:db8:1004::/64" {
		t.Errorf("link %v", ring)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"Dhcp6":{"subnet6":[{"subnet":"2001:db8::/64","id":1,}],/* */}} # end`))
	f.Add([]byte(`{"Dhcp6":{"shared-networks":[{"name":"a","relay":{"ip-addresses":["2001:db8::1"]},"subnet6":[{"subnet":"2001:db8::/64"}]}]}} // x`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.Contains(bytes.Join(bytes.Fields(text), nil), []byte("<?include\"")) {
			return // it may name any file of this machine
		}
		var links []link
		flat, err := flatten("kea.conf", text)
		if err == nil {
			links, _, err = readLinks(flat)
			_ = readDatabase(flat).follows()
		}
		var bad *ConfigError
		if err != nil && !errors.As(err, &bad) {
			t.Fatalf("%q: %v", text, err)
		}
		for _, l := range links {
			if err := l.Validate(); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
		}
	})
}
