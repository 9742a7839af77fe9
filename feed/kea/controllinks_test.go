package kea

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestLinksOfConfigGetEqualThoseOfTheFile: a real Kea tells the configuration that it has read.
func TestLinksOfConfigGetEqualThoseOfTheFile(t *testing.T) {
	k := newKea(t, nil)
	text := `# written by people
{ "Dhcp6": { /* the
  first */ <?include "` + k.dir + `/global.json"?>
  "shared-networks": [
    { "name": "Zürich, \"Süd\" & Co", "relay": { "ip-addresses": [ "2001:db8:9::1" ] }, "interface-id": "port-7", // of three
      "subnet6": [ { "id": 11, "subnet": "2001:db8:11::/64", "relay": { "ip-addresses": [ "2001:db8:11::1", "2001:db8:11::2" ] } },
                   { "id": 4294967294, "subnet": "2001:db8:12::/64", "pools": [ { "pool": "2001:db8:12::/80" } ] } ] },
    { "name": "empty" }
  ],
  "subnet6": [ { "subnet": "2001:db8:3::1/64", "id": 3, "interface-id": "uplink/3", "pd-pools": [ { "prefix": "2001:db8:f000::", "prefix-len": 40, "delegated-len": 56 } ] },
    { "subnet": "2001:db8:4::/48", "id": 4 } ]
} }
`
	global := `"interfaces-config": { "interfaces": [] }, "control-socket": { "socket-type": "unix", "socket-name": "` + k.socket + `" },
"lease-database": { "type": "memfile", "persist": false },
"server-id": { "type": "EN", "enterprise-id": 32473, "identifier": "0A0B0C", "persist": false },`
	path := filepath.Join(k.dir, "kea-dhcp6.conf")
	for name, content := range map[string]string{filepath.Join(k.dir, "global.json"): global, path: text} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	k.start()
	want, warnings, err := ReadConfig(path)
	if err != nil || len(warnings) != 1 {
		t.Fatalf("warnings %v, error %v", warnings, err)
	}
	got, _, err := linksOf(t, k.asks())
	if err != nil || len(got) != 3 {
		t.Fatalf("%d links, error %v", len(got), err)
	}
	if diff := cmp.Diff(linkTexts(want), linkTexts(got)); diff != "" {
		t.Errorf("(-file +config-get):\n%s", diff)
	}
}

func linksOf(t *testing.T, c *Control) ([]link, []Warning, error) {
	t.Helper()
	text, err := c.configuration(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return readLinks(text)
}

// manySubnets are those of one network.
func manySubnets(n int) []any {
	var subnets []any
	for i := range n {
		subnets = append(subnets, map[string]any{"id": 1000 + i, "subnet": fmt.Sprintf("2001:db8:2:%x::/64", i)})
	}
	return subnets
}

// TestLinkThatCannotBeUsedCostsOnlyItself: Kea takes networks of any size.
func TestLinkThatCannotBeUsedCostsOnlyItself(t *testing.T) {
	k := newKea(t, map[string]any{
		"subnet6":         []any{map[string]any{"id": 1, "subnet": "2001:db8:1::/64"}},
		"shared-networks": []any{map[string]any{"name": "huge", "subnet6": manySubnets(1100)}},
	})
	k.start()
	links, warnings, err := linksOf(t, k.asks())
	if err != nil || len(links) != 1 || links[0].Label != "subnet 1" {
		t.Errorf("links %v, error %v", linkTexts(links), err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0].Reason, "1100 prefixes") {
		t.Errorf("warnings %v", warnings)
	}
}

// TestSubnetsAreAskedForAgain: what keeps Kea from telling its configuration only for now is no reason to go without links.
func TestSubnetsAreAskedForAgain(t *testing.T) {
	const good = `[{"result":0,"arguments":{"Dhcp6":{"subnet6":[{"id":1,"subnet":"2001:db8:1::/64"}]}}}]`
	for name, tc := range map[string]struct {
		answer      string
		status      int
		known, fail bool
	}{
		"told":                 {good, 200, true, false},
		"an agent without Kea": {`[{"result":1,"text":"unable to forward command to the dhcp6 service: No such file or directory. The server is likely to be offline"}]`, 200, false, true},
		"a proxy without Kea":  {`oops`, 502, false, true},
		"nonsense":             {`[{"result":0,"arguments":{"Dh`, 200, false, true},
		"forbidden":            {`[{"result":403,"text":"Forbidden"}]`, 403, false, false},
		"not known":            {`[{"result":2,"text":"not supported"}]`, 200, false, false},
		"of another server":    {`[{"result":0,"arguments":{"Dhcp4":{}}}]`, 200, false, false},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tc.status)
			io.WriteString(w, tc.answer)
		}))
		s := subnets{control: newTestControl(t, ControlConfig{URL: server.URL}), logger: slog.New(slog.DiscardHandler)}
		links, known, err := s.read(t.Context())
		server.Close()
		if known != tc.known || (err != nil) != tc.fail || known != (len(links) == 1) {
			t.Errorf("%s: links %v, known %v, error %v", name, linkTexts(links), known, err)
		}
	}
}

// TestConfigurationIsNotAskedForAgainAtOnce: Kea takes long for a large one. A Kea that has read another is asked.
func TestConfigurationIsNotAskedForAgainAtOnce(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		fmt.Fprintf(w, `[{"result":0,"arguments":{"Dhcp6":{"subnet6":[{"id":%d,"subnet":"2001:db8:1::/64"}]}}}]`, asked)
	}))
	defer server.Close()
	var log bytes.Buffer
	s := &subnets{control: newTestControl(t, ControlConfig{URL: server.URL}), logger: slog.New(slog.NewTextHandler(&log, nil))}
	now := time.Now()
	same := health{process: true, pid: 7, started: spanOf(now, now, 500), reloaded: spanOf(now, now, 100)}
	other, young := same, same
	other.pid, young.reloaded = 8, spanOf(now, now, 50)
	for i, step := range []struct {
		health health
		took   time.Duration // that the last time is said to have taken
		asked  int
	}{{same, 0, 1}, {same, time.Minute, 1}, {same, 0, 2}, {young, time.Minute, 3}, {young, time.Minute, 3}, {other, time.Minute, 4}, {health{}, time.Minute, 5}, {health{}, time.Minute, 6}, {other, time.Minute, 7}} {
		s.last.took = step.took
		links, known, err := s.of(t.Context(), step.health)
		if want := fmt.Sprintf("subnet %d", step.asked); err != nil || !known || asked != step.asked || len(links) != 1 || links[0].Label != want {
			t.Fatalf("step %d: asked %d times, links %v, known %v, error %v; want %s", i, asked, linkTexts(links), known, err, want)
		}
	}
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	for range 3 {
		if _, known, err := s.of(t.Context(), health{}); known || err != nil {
			t.Errorf("known %v, error %v", known, err)
		}
	}
	if n := strings.Count(log.String(), "does not tell its subnets"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, log.String())
	}
}
