package starttls_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"log/slog"
	"math/big"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leasehold/leasehold/protocol/starttls"
	"github.com/leasehold/leasehold/protocol/starttls/authority"
)

// shown is the serial number of the certificate that a server shows now.
func shown(t *testing.T, f *folder, c *starttls.Credentials) *big.Int {
	t.Helper()
	server, client := sockets(t)
	made := make(chan error, 1)
	go func() {
		_, err := c.Handshake(server, anybody)
		made <- err
	}()
	conn, err := f.client(nil).Handshake(t.Context(), client, "node.example")
	if err := errors.Join(err, <-made); err != nil {
		t.Fatal(err)
	}
	return conn.ConnectionState().PeerCertificates[0].SerialNumber
}

func serial(t *testing.T, p authority.Pair) *big.Int {
	t.Helper()
	block, _ := pem.Decode(p.Certificate)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c.SerialNumber
}

// Each way in which changed files can be bad: the former ones go on being used, it is told once and counted once, and good ones are taken
// again.
func TestReloadKeepsWhatIsGood(t *testing.T) {
	f := newFolder(t)
	good := f.issue("node", authority.Order{Usage: authority.Server, Names: []string{"node.example"}, Valid: time.Hour})
	c := f.load()
	other := newFolder(t).issue("node", authority.Order{Usage: authority.Server, Names: []string{"node.example"}, Valid: time.Hour})
	for name, spoil := range map[string]func(){
		"no certificate": func() { remove(t, f.path("node.pem")) },
		"no authorities": func() { remove(t, f.path("ca.pem")) },
		"empty":          func() { f.write("node.pem", nil) },
		"not PEM":        func() { f.write("ca.pem", []byte("nonsense")) },
		"half":           func() { f.write("node.pem", good.Certificate[:len(good.Certificate)/2]) },
		"another's key":  func() { f.write("node.key", other.Key) },
		"PEM of nothing": func() { f.write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})) },
		"no authority's": func() { f.write("ca.pem", good.Certificate) },
		"for requestors": func() {
			f.issue("node", authority.Order{Usage: authority.Requestor, Names: []string{"node.example"}, Valid: time.Hour})
		},
		"expired": func() {
			f.issue("node", authority.Order{Usage: authority.Server, Names: []string{"node.example"}, Valid: -time.Hour})
		},
		"a short RSA key": func() { f.weak("node") },
		"too long":        func() { f.write("ca.pem", make([]byte, 2<<20)) },
	} {
		t.Run(name, func(t *testing.T) {
			ca := read(t, f.path("ca.pem"))
			spoil()
			failed := f.metric(starttls.MetricReloads, "failed")
			for range 3 {
				if err := c.Reload(); err == nil || !strings.Contains(err.Error(), f.dir) {
					t.Fatalf("%v, want an error that names the file", err)
				}
			}
			if n := f.metric(starttls.MetricReloads, "failed") - failed; n != 1 {
				t.Errorf("%v counted as failed, want 1", n)
			}
			f.write("ca.pem", ca)
			if got := shown(t, f, c); got.Cmp(serial(t, good)) != 0 {
				t.Error("the former certificate is not shown any more")
			}
			good = f.issue("node", authority.Order{Usage: authority.Server, Names: []string{"node.example"}, Valid: time.Hour})
			if err := c.Reload(); err != nil {
				t.Fatal(err)
			}
			if got := shown(t, f, c); got.Cmp(serial(t, good)) != 0 {
				t.Error("the new certificate is not shown")
			}
		})
	}
	if ok := f.metric(starttls.MetricReloads, "ok"); ok != 12 {
		t.Errorf("%v counted as taken, want 12", ok)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// weak writes a certificate with an RSA key of 1,024 bits.
func (f *folder) weak(name string) {
	f.t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"node.example"}}
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		f.t.Fatal(err)
	}
	by, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	f.sign(name, template, key, by)
}

// sign writes a certificate of a key and the key itself: NAME.pem and NAME.key.
func (f *folder) sign(name string, template *x509.Certificate, key, by crypto.Signer) {
	f.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), by)
	if err != nil {
		f.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.t.Fatal(err)
	}
	f.write(name+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	f.write(name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// Run notices by itself that files have changed, says so once, and shows when they end.
func TestRunNoticesChangedFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFolder(t)
		var log bytes.Buffer
		f.registry = prometheus.NewRegistry()
		c, err := starttls.Load(f.files(), slog.New(slog.NewTextHandler(&log, nil)), starttls.NewMetrics(f.registry))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- c.Run(ctx) }()
		minute := func() {
			<-time.After(time.Minute)
			synctest.Wait()
		}
		minute()
		if log.Len() > 0 {
			t.Errorf("said without need: %s", &log)
		}
		f.issue("node", authority.Order{Usage: authority.Server, Names: []string{"node.example"}, Valid: 3 * time.Hour})
		minute()
		end := time.Now().Add(3*time.Hour - time.Minute).Unix()
		if got := f.metric(starttls.MetricNotAfter, ""); got != float64(end) {
			t.Errorf("%s is %v, want %v", starttls.MetricNotAfter, got, end)
		}
		if got := f.metric(starttls.MetricCANotAfter, ""); got != float64(time.Now().Add(24*time.Hour-2*time.Minute).Unix()) {
			t.Errorf("%s is %v", starttls.MetricCANotAfter, got)
		}
		f.write("node.key", []byte("nonsense"))
		minute()
		minute()
		if n := strings.Count(log.String(), "cannot be used"); n != 1 {
			t.Errorf("told %d times, want once:\n%s", n, &log)
		}
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
}

func TestLoadTellsWhatIsWrong(t *testing.T) {
	f := newFolder(t)
	for _, path := range []string{"node.pem", "node.key", "ca.pem"} {
		b := read(t, f.path(path))
		remove(t, f.path(path))
		if _, err := starttls.Load(f.files(), nil, nil); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
		f.write(path, b)
	}
	// A node whose certificate has expired is still of use in clear.
	f.issue("node", authority.Order{Usage: authority.Server, Names: []string{"node.example"}, Valid: -time.Hour})
	var log bytes.Buffer
	if _, err := starttls.Load(f.files(), slog.New(slog.NewTextHandler(&log, nil)), nil); err != nil || !strings.Contains(log.String(), "expired") {
		t.Errorf("%v, said %q", err, &log)
	}
}

func TestParseMode(t *testing.T) {
	for s, want := range map[string]starttls.Mode{"": starttls.Off, "off": starttls.Off, "optional": starttls.Optional, "required": starttls.Required} {
		if m, err := starttls.ParseMode(s); err != nil || m != want {
			t.Errorf("%q: %v, %v", s, m, err)
		}
	}
	if _, err := starttls.ParseMode("Required"); err == nil {
		t.Error("Required is a mode")
	}
}

// A server that shows or wants nothing by mistake is not possible: nil names, no certificate.
func TestHandshakeWantsACertificate(t *testing.T) {
	f := newFolder(t)
	c := f.load()
	server, client := sockets(t)
	made := make(chan error, 1)
	go func() {
		_, err := c.Handshake(server, anybody)
		made <- err
	}()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(read(t, f.path("ca.pem")))
	conn := tls.Client(client, &tls.Config{RootCAs: roots, ServerName: "node.example"})
	if err := conn.Handshake(); err == nil {
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("the server speaks")
		}
	}
	var e *starttls.HandshakeError
	if err := <-made; !errors.As(err, &e) || e.Result != starttls.HandshakeFailed {
		t.Errorf("got %v", err)
	}
}
