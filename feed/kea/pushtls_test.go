package kea

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leasehold/leasehold/protocol/starttls/authority"
)

// lab is a folder of certificates.
type lab struct {
	t      *testing.T
	folder string
}

// authority makes one, whose certificate is in name.pem.
func (l lab) authority(name string) *authority.Authority {
	l.t.Helper()
	a, p, err := authority.New(name, time.Hour)
	if err != nil {
		l.t.Fatal(err)
	}
	l.write(name, p)
	return a
}

// issue writes a certificate into name.pem and name.key.
func (l lab) issue(a *authority.Authority, name string, usage authority.Usage) {
	l.t.Helper()
	p, err := a.Issue(authority.Order{Usage: usage, Names: []string{"127.0.0.1"}, Valid: time.Hour})
	if err != nil {
		l.t.Fatal(err)
	}
	l.write(name, p)
}

func (l lab) write(name string, p authority.Pair) {
	l.t.Helper()
	for path, text := range map[string][]byte{l.path(name + ".pem"): p.Certificate, l.path(name + ".key"): p.Key} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l lab) path(name string) string { return filepath.Join(l.folder, name) }

// client trusts an authority and shows a certificate; empty: none.
func (l lab) client(ca, name string) *http.Client {
	l.t.Helper()
	text, err := os.ReadFile(l.path(ca + ".pem"))
	if err != nil {
		l.t.Fatal(err)
	}
	c := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	c.RootCAs.AppendCertsFromPEM(text)
	if name != "" {
		pair, err := tls.LoadX509KeyPair(l.path(name+".pem"), l.path(name+".key"))
		if err != nil {
			l.t.Fatal(err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	transport := &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}
	return &http.Client{Transport: transport}
}

func (l lab) files(name, ca string) PushFiles {
	f := PushFiles{Certificate: l.path(name + ".pem"), Key: l.path(name + ".key")}
	if ca != "" {
		f.ClientCA = l.path(ca + ".pem")
	}
	return f
}

// TestMutualTLSAndRenewal: only certificates of the authority are let in, and renewed files are used without a restart; while they
// are unusable, those from before.
func TestMutualTLSAndRenewal(t *testing.T) {
	l := lab{t, t.TempDir()}
	ours, others := l.authority("ours"), l.authority("others")
	l.issue(ours, "server", authority.Server)
	l.issue(ours, "kea", authority.Requestor)
	l.issue(others, "stranger", authority.Requestor)
	config, err := l.files("server", "ours").TLS(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, ServerConfig{now: recordedNow, PushTLS: config})
	r.url = strings.Replace(r.url, "http:", "https:", 1)
	body := bulk([]map[string]any{someLease(0, nil)}, nil)
	works := func(c *http.Client) bool {
		reply, err := post(t.Context(), c, r.url, body, nil)
		return err == nil && reply.result == 0 && reply.status == http.StatusOK
	}
	if !works(l.client("ours", "kea")) {
		t.Error("Kea is not let in")
	}
	for _, name := range []string{"stranger", ""} {
		if works(l.client("ours", name)) {
			t.Errorf("%q is let in", name)
		}
	}
	if got := r.server.Totals().Requests; got != 1 {
		t.Errorf("%d requests", got)
	}
	if err := os.WriteFile(l.path("server.key"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !works(l.client("ours", "kea")) {
		t.Error("Kea is not let in while a file is being written")
	}
	l.issue(others, "server", authority.Server)
	if works(l.client("ours", "kea")) || !works(l.client("others", "kea")) {
		t.Error("the renewed certificate is not the one that is shown")
	}
}

func TestTLSWithoutClientCertificates(t *testing.T) {
	l := lab{t, t.TempDir()}
	l.issue(l.authority("ours"), "server", authority.Server)
	config, err := l.files("server", "").TLS(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, ServerConfig{now: recordedNow, PushTLS: config, PushUser: "kea", PushPassword: "x"})
	r.url = strings.Replace(r.url, "http:", "https:", 1)
	reply, err := post(t.Context(), l.client("ours", ""), r.url, bulk(nil, nil), func(q *http.Request) { q.SetBasicAuth("kea", "x") })
	if err != nil || reply.status != http.StatusOK {
		t.Errorf("%+v, %v", reply, err)
	}
}

func TestTLSFilesThatCannotBeUsed(t *testing.T) {
	l := lab{t, t.TempDir()}
	l.issue(l.authority("ours"), "server", authority.Server)
	if err := os.WriteFile(l.path("empty.pem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]PushFiles{
		"no certificate": l.files("absent", ""), "no authority": l.files("server", "absent"), "an empty authority": l.files("server", "empty"),
	} {
		if _, err := f.TLS(nil); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), l.folder) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
