package config

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
)

const oneSource = "sources:\n- name: a\n"

func TestFeederReferenceHoldsEveryKey(t *testing.T) {
	got, warnings, err := ParseFeeder("/etc/leasehold/feed.yaml", FeederReference(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) > 0 {
		t.Errorf("warnings: %v", warnings)
	}
	want := DefaultFeeder()
	if got.HTTP != want.HTTP || got.Log != want.Log || got.Instance != want.Instance || !reflect.DeepEqual(got.Cluster, want.Cluster) {
		t.Errorf("the reference differs from the defaults: %+v, want %+v", got, want)
	}
	var doc struct {
		Sources []map[string]any `yaml:"sources"`
	}
	var whole map[string]any
	for _, into := range []any{&doc, &whole} {
		if err := yaml.Load(FeederReference(), into); err != nil {
			t.Fatal(err)
		}
	}
	requireKeys(t, "", reflect.TypeFor[Feeder](), whole)
	kinds := reflect.TypeFor[Source]()
	for i := range kinds.NumField() {
		key := kinds.Field(i).Tag.Get("yaml")
		typ := kinds.Field(i).Type
		if typ.Kind() != reflect.Pointer {
			continue
		}
		found := false
		for _, s := range doc.Sources {
			if m, ok := s[key].(map[string]any); ok {
				found = true
				requireKeys(t, key+".", typ.Elem(), m)
			}
		}
		if !found {
			t.Errorf("the reference lacks a source of the kind %s", key)
		}
	}
}

func TestFeederRefused(t *testing.T) {
	for name, tc := range map[string]struct{ file, want string }{
		"empty":                  {"", "sources: is empty"},
		"no cluster":             {"cluster: []\n" + oneSource + "  kea: {leases: /l}\n", "cluster: is empty"},
		"cluster without port":   {"cluster: [a]\n" + oneSource + "  kea: {leases: /l}\n", "cluster[0]: \"a\": want host:port"},
		"no kind":                {oneSource, "line 2: sources[0]: has 0 of kea"},
		"two kinds":              {oneSource + "  kea: {leases: /l}\n  isc_dhcp: {leases: /m}\n", "has 2 of kea"},
		"no name":                {"sources: [{kea: {leases: /l}}]\n", "sources[0].name: 0 octets"},
		"name twice":             {"sources: [{name: a, kea: {leases: /l}}, {name: a, kea: {leases: /m}}]\n", "sources[1].name: \"a\" is there twice"},
		"kea of nothing":         {oneSource + "  kea: {config: /c}\n", "has none of leases, control.url and push.listen"},
		"unknown key":            {oneSource + "  kea: {lease: /c}\n", "key \"lease\" is not known"},
		"control's scheme":       {oneSource + "  kea: {control: {url: \"ftp://x\"}}\n", "want unix:/path"},
		"control without path":   {oneSource + "  kea: {control: {url: \"unix:\"}}\n", "want unix:/path"},
		"control without host":   {oneSource + "  kea: {control: {url: \"http:///x\"}}\n", "has no host"},
		"password in a url":      {oneSource + "  kea: {control: {url: \"https://u:p@h/\"}}\n", "has a password in it"},
		"user alone":             {oneSource + "  kea: {push: {listen: \"127.0.0.1:1\", user: u}}\n", "go together"},
		"client CA alone":        {oneSource + "  kea: {push: {listen: \"127.0.0.1:1\", tls: {client_ca: /c}}}\n", "client_ca needs both"},
		"page":                   {oneSource + "  kea: {leases: /l, page: -1}\n", "page: -1"},
		"resync":                 {oneSource + "  kea: {leases: /l, resync: 1ms}\n", "resync: 1ms"},
		"isc without leases":     {oneSource + "  isc_dhcp: {config: /c}\n", "isc_dhcp.leases: is needed"},
		"prefix with host bits":  {oneSource + "  dnsmasq: {leases: /l, links: [{name: x, prefixes: [\"2001:db8::1/64\"]}]}\n", "has bits behind its length"},
		"relay":                  {oneSource + "  dnsmasq: {leases: /l, links: [{name: x, prefixes: [\"2001:db8::/64\"], relays: [here]}]}\n", "want an IPv6 address"},
		"upstream of nothing":    {oneSource + "  upstream: {servers: [\"a:547\"]}\n", "asks for nothing"},
		"upstream of nobody":     {oneSource + "  upstream: {active: true}\n", "servers: is empty"},
		"everything alone":       {oneSource + "  upstream: {servers: [\"a:547\"], everything: true, client_ids: [\"01\"]}\n", "everything: goes with active"},
		"remote-id":              {oneSource + "  upstream: {servers: [\"a:547\"], remote_ids: [\"x:01\"]}\n", "want ENTERPRISE:HEX"},
		"control without scheme": {oneSource + "  kea: {control: {url: \"192.0.2.10:8001\"}}\n", "want unix:/path"},
		"control as text":        {oneSource + "  kea: {control: \"unix:/x\"}\n", "cannot turn str `unix:/x` into a mapping of keys"},
		"cluster as text":        {"cluster: a:1\n" + oneSource + "  kea: {leases: /l}\n", "cannot turn str `a:1` into a list"},
		"sources as mapping":     {"sources: {name: a}\n", "cannot turn map into a list"},
		"a node's file":          {"data_dir: /d\n" + oneSource + "  kea: {leases: /l}\n", "is this a node's file"},
		"port 0 of a node":       {"cluster: [\"a:0\"]\n" + oneSource + "  kea: {leases: /l}\n", "nobody listens on port 0"},
		"tls without control":    {oneSource + "  kea: {leases: /l, control: {tls: {ca: /c}}}\n", "control.url: is empty"},
		"tls of a socket":        {oneSource + "  kea: {control: {url: \"unix:/x\", tls: {ca: /c}}}\n", "is a socket of this machine"},
		"password of a socket":   {oneSource + "  kea: {control: {url: /x, user: u, password_file: /p}}\n", "is a socket of this machine"},
		"tls in clear":           {oneSource + "  kea: {control: {url: \"http://h:1/\", tls: {ca: /c}}}\n", "tls goes with https://"},
		"early without push":     {oneSource + "  kea: {leases: /l, push: {early: true}}\n", "push.listen: is empty"},
		"push to any port":       {oneSource + "  kea: {leases: /l, push: {listen: \"127.0.0.1:0\"}}\n", "Kea has to know the port"},
		"two on one address": {"sources:\n- {name: a, kea: {leases: /l, push: {listen: \"127.0.0.1:1\"}}}\n- {name: b, kea: {leases: /m, push: {listen: \"127.0.0.1:1\"}}}\n",
			"line 3: sources[1].kea.push.listen: 127.0.0.1:1 is sources[0].kea.push.listen, too"},
		"push on the port of http": {oneSource + "  kea: {leases: /l, push: {listen: \"127.0.0.1:5474\"}}\n", "127.0.0.1:5474 is http.listen, too"},
		"one link twice":           {oneSource + "  upstream: {servers: [\"a:547\"], links: [{name: x, prefixes: [\"2001:db8::/64\"]}, {name: x, prefixes: [\"2001:db8:1::/64\"]}]}\n", "links[1].name: \"x\" is there twice"},
		"relay-id":                 {oneSource + "  upstream: {servers: [\"a:547\"], relay_ids: [zz]}\n", "relay_ids[0]: \"zz\": want 1 to 130 octets"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := ParseFeeder("/d/f.yaml", []byte(tc.file), nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestFeederWarnings(t *testing.T) {
	for _, tc := range []struct{ file, want string }{
		{"  kea: {push: {listen: \"[::1]:5478\"}}\n", "alone it never learns"},
		{"  kea: {leases: /l, push: {listen: \"192.0.2.1:5478\"}}\n", "whoever reaches 192.0.2.1:5478 can state leases"},
		{"  kea: {leases: /l, page: 5000}\n", "100 to 250"},
		{"  kea: {leases: /l}\n- name: b\n  kea: {leases: /l}\n", "/l is sources[0].kea.leases, too"},
		{"  kea: {control: {url: \"http://192.0.2.1/\", user: u, password_file: /p}}\n", "in clear"},
	} {
		_, warnings, err := ParseFeeder("f.yaml", []byte(oneSource+tc.file), nil)
		if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].Text, tc.want) {
			t.Errorf("%s: warnings %v, error %v, want one warning with %q", tc.file, warnings, err, tc.want)
		}
	}
}

func TestFeederPathsAndSets(t *testing.T) {
	f, _, err := ParseFeeder("/etc/leasehold/feed.yaml", []byte(oneSource+"  kea: {leases: leases.csv, resync: 30m}\n"), []string{"instance=x", `cluster=["a:1"]`})
	if err != nil {
		t.Fatal(err)
	}
	k := f.Sources[0].Kea
	if k.Leases != "/etc/leasehold/leases.csv" || k.Resync != 30*time.Minute || f.Instance != "x" || f.Cluster[0] != "a:1" {
		t.Errorf("got %+v, %+v", f, k)
	}
}

func FuzzParseFeeder(f *testing.F) {
	f.Add(FeederReference(), "instance=x")
	f.Add([]byte(oneSource), "sources=[]")
	f.Fuzz(func(t *testing.T, data []byte, set string) {
		c, _, err := ParseFeeder("f", data, []string{set})
		if err == nil && (len(c.Sources) == 0 || len(c.Cluster) == 0) {
			t.Errorf("accepted %+v", c)
		}
	})
}

func TestFeederAbsentFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "leases"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const file = oneSource + "  kea: {leases: leases, config: kea.conf, control: {url: \"unix:/absent/socket\"}}\n- name: b\n  dnsmasq: {leases: /absent/l, socket: /absent/s}\n"
	f, _, err := ParseFeeder(filepath.Join(dir, "feed.yaml"), []byte(file), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range f.Absent() {
		got = append(got, p.Key)
	}
	if want := []string{"sources[0].kea.config", "sources[0].kea.control.url", "sources[1].dnsmasq.leases"}; !slices.Equal(got, want) {
		t.Errorf("absent: %q, want %q", got, want)
	}
}

func TestAgentFileIsNoNodeFile(t *testing.T) {
	_, _, err := Parse("feed.yaml", []byte(oneSource), nil)
	if err == nil || !strings.Contains(err.Error(), `key "sources" is not known: is this an agent's file`) {
		t.Errorf("error %v", err)
	}
}
