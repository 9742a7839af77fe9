package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/starttls/authority"
)

const someone = "requestors: [{prefixes: [\"::1/128\"]}]\n"

// TestWarnings: what works but deserves a thought, each by its key and with a word of the reason.
func TestWarnings(t *testing.T) {
	dir := tlsFiles(t)
	const files = "certificate: cert.pem, key: key.pem, requestor_ca: ca.pem"
	const many = "bulk: {max_connections: 100}\n"
	for name, tc := range map[string]struct {
		file string
		want [][2]string // key, part of the text
	}{
		"none":             {someone, nil},
		"nobody may ask":   {"", [][2]string{{"requestors", "no relay may ask"}}},
		"active in clear":  {someone + many + "active: {enabled: true, insecure: true}\n", nil},
		"active, all lost": {someone + many + "active: {enabled: true}\n", [][2]string{{"active.enabled", "NotAllowed"}}},
		"active over tls":  {someone + many + "active: {enabled: true}\ntls: {mode: optional, " + files + "}\n", nil},
		"second switch for nothing": {someone + many + "active: {enabled: true, insecure: true}\ntls: {mode: required, " + files + "}\n",
			[][2]string{{"active.insecure", "changes nothing"}}},
		"more subscriptions than connections": {someone + "active: {enabled: true, insecure: true}\n", [][2]string{{"active.max_subscriptions", "bulk.max_connections (10)"}}},
		"under RFC 7653 6.4": {someone + "active: {idle_interval: 59s, data_timeout: 119s}\n",
			[][2]string{{"active.idle_interval", "under the 1m0s"}, {"active.data_timeout", "under the 2m0s"}}},
		"at RFC 7653 6.4":            {someone + "active: {idle_interval: 60s, data_timeout: 120s}\n", nil},
		"longer than relays wait":    {someone + "active: {idle_interval: 120s}\n", [][2]string{{"active.idle_interval", "ACTIVE_LQ_RCV_TIMEOUT"}}},
		"burst alone":                {someone + "udp: {rate: 0, burst: 5}\n", [][2]string{{"udp.burst", "without udp.rate"}}},
		"burst alone, in bulk":       {someone + "bulk: {burst: 5}\n", [][2]string{{"bulk.burst", "without bulk.rate"}}},
		"burst alone, in a stanza":   {"requestors: [{prefixes: [\"::1/128\"], burst: 5}]\n", nil},
		"names without tls":          {"requestors: [{names: [r.example], prefixes: [\"::1/128\"]}]\n", [][2]string{{"requestors[0].names", "count for nothing"}}},
		"names alone without tls":    {"requestors: [{names: [r.example]}]\n", [][2]string{{"requestors[0].names", "can never ask"}}},
		"names alone with tls":       {"requestors: [{names: [r.example]}]\ntls: {mode: optional, " + files + "}\n", nil},
		"relayed, known by its name": {"requestors: [{names: [r.example], relayed: allow}]\ntls: {mode: optional, " + files + "}\n", [][2]string{{"requestors[0].relayed", "over UDP"}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, warnings, err := Parse(filepath.Join(dir, "f.yaml"), []byte(minimal+tc.file), nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(warnings) != len(tc.want) {
				t.Fatalf("warnings %v, want %v", warnings, tc.want)
			}
			for i, w := range warnings {
				if w.Key != tc.want[i][0] || !strings.Contains(w.Text, tc.want[i][1]) || w.Line == 0 && w.Key != "requestors" {
					t.Errorf("warning %q, want %q", w, tc.want[i])
				}
			}
		})
	}
}

// tlsFiles makes what TLS needs, in a folder: ca.pem, cert.pem and key.pem.
func tlsFiles(t *testing.T) string {
	t.Helper()
	ca, own, err := authority.New("test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	node, err := ca.Issue(authority.Order{Usage: authority.Server, Names: []string{"node1.example"}, Valid: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, b := range map[string][]byte{"ca.pem": own.Certificate, "cert.pem": node.Certificate, "key.pem": node.Key} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestTLSFilesAreRead: what is in the files is checked too, and told by the file's name.
func TestTLSFilesAreRead(t *testing.T) {
	dir := tlsFiles(t)
	file := minimal + someone + "tls:\n  mode: required\n  certificate: ca.pem\n  key: key.pem\n  requestor_ca: ca.pem\n"
	_, _, err := Parse(filepath.Join(dir, "f.yaml"), []byte(file), nil)
	var e *Error
	if !errors.As(err, &e) || len(e.Problems) != 1 || e.Problems[0].Line != 4 || !strings.Contains(err.Error(), filepath.Join(dir, "ca.pem")) {
		t.Errorf("error %v, want one on line 4 that names ca.pem", err)
	}
}

func TestKeyForEverybodyWarns(t *testing.T) {
	dir := tlsFiles(t)
	if err := os.Chmod(filepath.Join(dir, "key.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	file := minimal + someone + "tls: {mode: required, certificate: cert.pem, key: key.pem, requestor_ca: ca.pem}\n"
	c, warnings, err := Parse(filepath.Join(dir, "f.yaml"), []byte(file), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || warnings[0].Key != "tls.key" {
		t.Errorf("warnings %v, want one about tls.key", warnings)
	}
	if want := filepath.Join(dir, "key.pem"); c.TLS.Key != want {
		t.Errorf("key %q, want %q", c.TLS.Key, want)
	}
}

// TestRelayDataBothWays: the mode alone, as it was written before, and a mapping, mean what they say; a stanza says nothing else.
func TestRelayDataBothWays(t *testing.T) {
	for text, want := range map[string]RelayData{
		"always":                             {Always, InClientData},
		"{mode: always}":                     {Always, InClientData},
		"{place: message}":                   {OnRequest, InMessage},
		"{mode: always, place: message}":     {Always, InMessage},
		"\"on-request\"":                     {OnRequest, InClientData},
		"{}":                                 {OnRequest, InClientData},
		"{mode: always, place: \"message\"}": {Always, InMessage},
	} {
		stanza := "requestors: [{prefixes: [\"::1/128\"], relay_data: " + text + "}]\n"
		c, _, err := Parse("f.yaml", []byte(minimal+"relay_data: "+text+"\n"+stanza), nil)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if d := cmp.Diff(want, c.RelayData); d != "" {
			t.Errorf("%s (-want +got):\n%s", text, d)
		}
		of := want
		if !strings.Contains(text, "place") {
			of.Place = ""
		}
		if !strings.Contains(text, "always") && !strings.Contains(text, "request") {
			of.Mode = ""
		}
		if d := cmp.Diff(of, c.Requestors[0].RelayData); d != "" {
			t.Errorf("in a stanza, %s (-want +got):\n%s", text, d)
		}
	}
	if c, _, err := Parse("f.yaml", []byte(minimal+someone), []string{"relay_data.place=message"}); err != nil || c.RelayData != (RelayData{OnRequest, InMessage}) {
		t.Errorf("--set relay_data.place=message: %+v, %v", c.RelayData, err)
	}
}

// TestEverySwitchCanBeSet: the keys that others set on the command line do what they did.
func TestEverySwitchCanBeSet(t *testing.T) {
	c, _, err := Parse("f.yaml", []byte(minimal+someone), []string{
		"active.enabled=true", "active.insecure=true", "active.max_subscriptions=7", "tls.mode=off", "udp.rate=2.5", "active.catch_up=5m", "udp.enabled=false",
	})
	if err != nil {
		t.Fatal(err)
	}
	if !c.Active.Enabled || !c.Active.Insecure || c.Active.MaxSubscriptions != 7 || c.TLS.Mode != TLSOff || c.UDP.Rate != 2.5 || c.UDP.Enabled {
		t.Errorf("got %+v, %+v, %+v", c.Active, c.TLS, c.UDP)
	}
}
