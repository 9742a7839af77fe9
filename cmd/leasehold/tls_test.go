package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/fsm/store"
	"github.com/leasehold/leasehold/protocol/bulk"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/starttls"
)

// inProcess runs a command of this program in this process.
func inProcess(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	root := newRoot("test")
	var out, said bytes.Buffer
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&said)
	err = root.ExecuteContext(t.Context())
	return out.String(), said.String(), err
}

// oneLease is a state with one client.
type oneLease struct{ *store.Store }

func (s oneLease) View(context.Context) (binding.View, error) { return s.Store.View(), nil }
func (s oneLease) Now() binding.Time                          { return 2_000_000 }
func (s oneLease) ServerDUID() []byte                         { return []byte{0, 2, 0, 0, 0, 9, 1} }

// serveTLS is a server that wants TLS by the files that `leasehold tls` made, and knows who is called bng-1.example.
func serveTLS(t *testing.T, dir string) string {
	t.Helper()
	s := oneLease{store.New()}
	s.Apply(store.Batch{Index: 1, Clock: 2_000_000, Source: "kea", Changes: []binding.Change{
		{Event: binding.DefineLink, Link: &binding.Link{Label: "net", Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8::/64")}}},
		{Event: binding.Upsert, Binding: binding.Binding{Kind: binding.NA, Prefix: netip.MustParsePrefix("2001:db8::1/128"), DUID: []byte("\x00\x01client"),
			Valid: 7200, Preferred: 3600, LastTransaction: 1_000_000}},
	}})
	creds, err := starttls.Load(starttls.Files{
		Certificate: filepath.Join(dir, "node.pem"), Key: filepath.Join(dir, "node.key"), RequestorCA: filepath.Join(dir, "ca.pem"),
	}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := leasequery.NewPolicy([]leasequery.Requestor{{Name: "bng", Names: []string{"bng-1.example"}}})
	if err != nil {
		t.Fatal(err)
	}
	server := bulk.New(bulk.Config{TLS: bulk.TLS{Mode: starttls.Required, Credentials: creds}}, leasequery.New(leasequery.Config{}, s), policy, nil, nil)
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- server.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// TestTLSCommands makes an authority and certificates, lets a server use them, and asks it.
func TestTLSCommands(t *testing.T) {
	dir := t.TempDir()
	must := func(args ...string) string {
		t.Helper()
		out, said, err := inProcess(t, args...)
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, said)
		}
		return out
	}
	must("tls", "ca", "--dir", dir)
	if out := must("tls", "server", "node.example", "::1", "--dir", dir, "--out", "node"); !strings.Contains(out, "certificate: node.pem") {
		t.Errorf("said\n%s", out)
	}
	if out := must("tls", "requestor", "bng-1.example", "--dir", dir); !strings.Contains(out, `names: ["bng-1.example"]`) {
		t.Errorf("said\n%s", out)
	}
	var w written
	if err := json.Unmarshal([]byte(must("tls", "requestor", "spiffe://isp/bng-2", "--dir", dir, "--json")), &w); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{w.Key: 0o600, filepath.Join(dir, "ca.key"): 0o600, filepath.Join(dir, "node.key"): 0o600, w.Certificate: 0o644} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&^want != 0 {
			t.Errorf("%s: %v, %v, want %v", path, info, err, want)
		}
	}
	addr := serveTLS(t, dir)
	query := func(with ...string) (string, string, error) {
		return inProcess(t, append([]string{"query", "address", "2001:db8::1", "--server", addr, "--rounds", "1"}, with...)...)
	}
	as := func(name string, more ...string) []string {
		return append([]string{"--tls", "--tls-ca", filepath.Join(dir, "ca.pem"), "--tls-cert", filepath.Join(dir, name+".pem"), "--tls-key", filepath.Join(dir, name+".key")}, more...)
	}
	if out, said, err := query(as("bng-1.example", "--json")...); err != nil || !strings.Contains(out, `"address":"2001:db8::1"`) {
		t.Errorf("%s%s%v", out, said, err)
	}
	if out, said, err := query(as("bng-1.example", "--tls-server-name", "node.example")...); err != nil {
		t.Errorf("%s%s%v", out, said, err)
	}
	for name, args := range map[string][]string{
		"in clear":                        nil,
		"by a name that nobody has":       as("spiffe___isp_bng-2"),
		"another name of the server":      as("bng-1.example", "--tls-server-name", "other.example"),
		"without a certificate":           {"--tls"},
		"flags without --tls":             {"--tls-ca", filepath.Join(dir, "ca.pem")},
		"a certificate that is not there": as("none"),
		"a server's certificate":          as("node"),
	} {
		if out, _, err := query(args...); err == nil || out != "" {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
}

// TestTLSCommandsWriteOverNothing, and leave nothing half made.
func TestTLSCommandsWriteOverNothing(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := inProcess(t, "tls", "server", "x.example", "--dir", dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without an authority: %v", err)
	}
	if _, _, err := inProcess(t, "tls", "ca", "--dir", dir); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x.example.pem"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"ca"}, {"server", "x.example"}, {"requestor", "x.example"}} {
		if _, _, err := inProcess(t, append(append([]string{"tls"}, args...), "--dir", dir)...); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%q: %v", args, err)
		}
	}
	for _, args := range [][]string{
		{"server", "y.example", "--out", "../y"}, {"server", "y.example", "--out", "ca"}, {"server", "a b"}, {"server"}, {"requestor", "y.example", "--days", "0"},
	} {
		if _, _, err := inProcess(t, append(append([]string{"tls"}, args...), "--dir", dir)...); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
	after, err := os.ReadFile(filepath.Join(dir, "ca.key"))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the authority's key has changed: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("%v, %v, want ca.key, ca.pem and x.example.pem", entries, err)
	}
}
