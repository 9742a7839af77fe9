package kea

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/starttls/authority"
)

// freePort is a TCP port of loopback that was free, below those that the kernel gives to whoever connects.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 10240 + rand.IntN(22000)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			defer l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// agent starts Kea's control agent before a Kea.
func (k *keaProcess) agent(members map[string]any) (hostPort string) {
	k.t.Helper()
	a := &keaProcess{t: k.t, dir: k.dir, path: keaBinary(k.t, "kea-ctrl-agent")}
	port := freePort(k.t)
	content := map[string]any{
		"http-host": "127.0.0.1", "http-port": port,
		"control-sockets": map[string]any{"dhcp6": map[string]any{"socket-type": "unix", "socket-name": k.socket}},
		"loggers":         []any{map[string]any{"name": "kea-ctrl-agent", "severity": "INFO", "output_options": []any{map[string]any{"output": filepath.Join(k.dir, "agent.log")}}}},
	}
	maps.Copy(content, members)
	name := fmt.Sprintf("agent-%d.conf", port)
	a.write(name, map[string]any{"Control-agent": content})
	a.run("-c", filepath.Join(k.dir, name))
	k.t.Cleanup(a.kill)
	hostPort = fmt.Sprintf("127.0.0.1:%d", port)
	a.until("agent listens", func() bool {
		conn, err := net.Dial("tcp", hostPort)
		return err == nil && conn.Close() == nil
	})
	return hostPort
}

// pem writes a pair of the authority's into the folder of Kea.
func (k *keaProcess) pem(name string, p authority.Pair) (certificate, key string) {
	k.t.Helper()
	certificate, key = filepath.Join(k.dir, name+".crt"), filepath.Join(k.dir, name+".key")
	for path, text := range map[string][]byte{certificate: p.Certificate, key: p.Key} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			k.t.Fatal(err)
		}
	}
	return certificate, key
}

func newAuthority(t *testing.T, name string) (*authority.Authority, authority.Pair) {
	t.Helper()
	a, p, err := authority.New(name, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return a, p
}

func issue(t *testing.T, a *authority.Authority, o authority.Order) authority.Pair {
	t.Helper()
	p, err := a.Issue(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestControlAgent(t *testing.T) {
	t.Parallel()
	k := newKea(t, nil)
	k.start()
	k.addMany(0, 500)
	at := k.agent(map[string]any{"authentication": map[string]any{
		"type": "basic", "realm": "kea", "clients": []any{map[string]any{"user": "leasehold", "password": "correct horse"}},
	}})
	password := filepath.Join(k.dir, "password")
	if err := os.WriteFile(password, []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	control := newTestControl(t, ControlConfig{URL: "http://" + at, User: "leasehold", PasswordFile: password})
	b := &book{}
	_, _ = follow(t, walkConfig{control: control, page: 100}, b)
	if want, got := k.all(), b.complete(t, 1); !maps.Equal(want, got) || len(got) != 500 || !b.linked || len(b.links) != 2 {
		t.Errorf("%d links (-Kea +walk):\n%.3000s", len(b.links), cmp.Diff(want, got))
	}
	if skew, measured := control.Skew(); !measured || skew.Abs() > 2*time.Second {
		t.Errorf("skew %v, measured %v: one machine has one clock", skew, measured)
	}
	if _, err := newTestControl(t, ControlConfig{URL: "http://" + at, User: "leasehold", Password: "wrong"}).version(t.Context()); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("wrong password: %v", err)
	}
	if _, err := newTestControl(t, ControlConfig{URL: "http://" + at}).version(t.Context()); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("no password: %v", err)
	}
	// The password is read for each command.
	if err := os.WriteFile(password, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := control.version(t.Context()); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("changed password: %v", err)
	}
	if err := os.Remove(password); err != nil {
		t.Fatal(err)
	}
	if _, err := control.version(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no password file: %v", err)
	}
	bare := k.agent(map[string]any{"control-sockets": map[string]any{"dhcp4": map[string]any{"socket-type": "unix", "socket-name": k.socket}}})
	if _, err := newTestControl(t, ControlConfig{URL: "http://" + bare}).version(t.Context()); err == nil || !strings.Contains(err.Error(), "control-sockets.dhcp6") {
		t.Errorf("an agent that knows no Kea: %v", err)
	}
	k.stop()
	if _, err := newTestControl(t, ControlConfig{URL: "http://" + at, User: "leasehold", Password: "correct horse"}).version(t.Context()); err == nil {
		t.Error("an agent answers for a Kea that is not there")
	} else {
		t.Logf("without Kea the agent says: %v", err)
	}
}

func TestControlAgentOverTLS(t *testing.T) {
	t.Parallel()
	k := newKea(t, nil)
	k.start()
	k.addMany(0, 30)
	kea, root := newAuthority(t, "kea")
	ca, _ := k.pem("ca", root)
	serverCertificate, serverKey := k.pem("server", issue(t, kea, authority.Order{Usage: authority.Server, Names: []string{"kea.example.org"}, Valid: time.Hour}))
	certificate, key := k.pem("client", issue(t, kea, authority.Order{Usage: authority.Requestor, Names: []string{"leasehold.example.org"}, Valid: time.Hour}))
	at := k.agent(map[string]any{"trust-anchor": ca, "cert-file": serverCertificate, "key-file": serverKey, "cert-required": true})
	good := ControlConfig{URL: "https://" + at + "/", CA: ca, Certificate: certificate, Key: key, ServerName: "kea.example.org"}
	b := &book{}
	_, _ = follow(t, walkConfig{control: newTestControl(t, good), page: 10}, b)
	if want, got := k.all(), b.complete(t, 1); !maps.Equal(want, got) || len(got) != 30 {
		t.Errorf("(-Kea +walk):\n%.3000s", cmp.Diff(want, got))
	}
	ask := func(change func(c *ControlConfig)) error {
		c := good
		change(&c)
		_, err := newTestControl(t, c).version(t.Context())
		return err
	}
	if err := ask(func(c *ControlConfig) { c.ServerName = "" }); err == nil || !strings.Contains(err.Error(), "set server_name") {
		t.Errorf("the certificate bears no address: %v", err)
	}
	if err := ask(func(c *ControlConfig) { c.CA = "" }); err == nil || !strings.Contains(err.Error(), "as ca") {
		t.Errorf("unknown authority: %v", err)
	}
	if err := ask(func(c *ControlConfig) { c.Certificate, c.Key = "", "" }); err == nil || !strings.Contains(err.Error(), "give certificate and key") {
		t.Errorf("Kea is shown no certificate: %v", err)
	}
	if err := ask(func(c *ControlConfig) { c.CA = key }); err == nil || !strings.Contains(err.Error(), "no certificate in") {
		t.Errorf("a key as CA: %v", err)
	}
	if err := ask(func(c *ControlConfig) { c.Key = certificate }); err == nil || !strings.Contains(err.Error(), "TLS: certificate") {
		t.Errorf("a certificate as key: %v", err)
	}
	if err := ask(func(c *ControlConfig) { c.URL = "http://" + at }); err == nil || !strings.Contains(err.Error(), "is it https://?") {
		t.Errorf("in clear: %v", err)
	}
}

// TestTLSFilesAreReadAgain: a connection is made with the files as they are then, or, when these cannot be used, as they were.
func TestTLSFilesAreReadAgain(t *testing.T) {
	k := &keaProcess{t: t, dir: t.TempDir()}
	a, root := newAuthority(t, "one")
	ca, _ := k.pem("ca", root)
	order := authority.Order{Usage: authority.Requestor, Names: []string{"leasehold.example.org"}, Valid: time.Hour}
	certificate, key := k.pem("client", issue(t, a, order))
	i := &identity{config: newTestControl(t, ControlConfig{URL: "https://192.0.2.1/", CA: ca, Certificate: certificate, Key: key}).config}
	load := func() *tls.Config {
		c, err := i.load("192.0.2.1")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := load()
	if first.ServerName != "192.0.2.1" || first.MinVersion != tls.VersionTLS12 {
		t.Errorf("name %q, version %x", first.ServerName, first.MinVersion)
	}
	k.pem("client", issue(t, a, order))
	second := load()
	if string(first.Certificates[0].Certificate[0]) == string(second.Certificates[0].Certificate[0]) {
		t.Error("the renewed certificate is not used")
	}
	if err := os.Truncate(certificate, 10); err != nil {
		t.Fatal(err)
	}
	if third := load(); string(third.Certificates[0].Certificate[0]) != string(second.Certificates[0].Certificate[0]) {
		t.Error("half a file is not passed over")
	}
	if _, err := (&identity{config: i.config}).load("x"); err == nil {
		t.Error("half a file is used when there is nothing before")
	}
}
