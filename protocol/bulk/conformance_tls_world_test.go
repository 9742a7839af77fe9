package bulk

import (
	"bufio"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/starttls"
	"github.com/leasehold/leasehold/protocol/starttls/authority"
)

// pki is an authority, the server's files in a folder, and the server's credentials made of them.
type pki struct {
	ca       *authority.Authority
	pem      authority.Pair // the authority's own
	files    starttls.Files
	creds    *starttls.Credentials
	registry *prometheus.Registry
}

// nobody's authority signs what nobody believes.
var nobodys = sync.OnceValues(func() (*authority.Authority, error) {
	a, _, err := authority.New("nobody", time.Hour)
	return a, err
})

func newPKI(t testing.TB) *pki {
	t.Helper()
	dir := t.TempDir()
	p := &pki{registry: prometheus.NewRegistry(), files: starttls.Files{
		Certificate: filepath.Join(dir, "node.pem"), Key: filepath.Join(dir, "node.key"), RequestorCA: filepath.Join(dir, "ca.pem"),
	}}
	var err error
	if p.ca, p.pem, err = authority.New("test authority", 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	p.write(t, p.files.RequestorCA, p.pem.Certificate)
	p.renew(t)
	if p.creds, err = starttls.Load(p.files, nil, starttls.NewMetrics(p.registry)); err != nil {
		t.Fatal(err)
	}
	return p
}

// renew gives the server another certificate, in its files.
func (p *pki) renew(t testing.TB) authority.Pair {
	t.Helper()
	node := p.pair(t, p.ca, authority.Order{Usage: authority.Server, Names: []string{"localhost", "::1"}, Valid: time.Hour})
	p.write(t, p.files.Certificate, node.Certificate)
	p.write(t, p.files.Key, node.Key)
	return node
}

func (p *pki) write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p *pki) pair(t testing.TB, ca *authority.Authority, o authority.Order) authority.Pair {
	t.Helper()
	pair, err := ca.Issue(o)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// trusting is a requestor's side without a certificate: crypto/tls as it comes, so that what is refused is refused by the server.
func (p *pki) trusting() *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.pem.Certificate)
	return &tls.Config{RootCAs: roots, ServerName: "::1"}
}

// showing is a requestor's side with a certificate by ca.
func (p *pki) showing(t testing.TB, ca *authority.Authority, o authority.Order) *tls.Config {
	t.Helper()
	if o.Valid == 0 {
		o.Valid = time.Hour
	}
	pair := p.pair(t, ca, o)
	certificate, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	config := p.trusting()
	// Whatever the server says it wants: a certificate of another authority must be refused, not held back.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
	return config
}

// weak is a requestor's side whose certificate is good but for its key, of which RFC 9325 4.5 wants 2,048 bits.
func (p *pki) weak(t testing.TB, name string) *tls.Config {
	t.Helper()
	ca, err := tls.X509KeyPair(p.pem.Certificate, p.pem.Key)
	if err != nil {
		t.Fatal(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, key.Public(), ca.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	config := p.trusting()
	config.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	return config
}

// requestor is the side of a requestor with these names.
func (p *pki) requestor(t testing.TB, names ...string) *tls.Config {
	t.Helper()
	return p.showing(t, p.ca, authority.Order{Usage: authority.Requestor, Names: names})
}

// handshakes is how many handshakes ended so.
func (p *pki) handshakes(t testing.TB, result string) float64 {
	t.Helper()
	return (&fixture{registry: p.registry}).metric(t, starttls.MetricHandshakes, result)
}

// byName is a stanza that only a certificate leads to.
func byName(names ...string) leasequery.Requestor {
	return leasequery.Requestor{Name: names[0], Names: names}
}

// byAddress is a stanza that the source address of every test leads to.
func byAddress() leasequery.Requestor { return loopback(func(*leasequery.Requestor) {}) }

// startTLS asks for TLS and wants the REPLY, of CLIENTID and SERVERID alone.
func (w *wire) startTLS() {
	w.t.Helper()
	w.send(msg(msgStartTLS, 0x123456, opt(optClientID, requestorID)))
	w.expect(msg(msgReply, 0x123456, opt(optClientID, requestorID), opt(optServerID, clusterID)))
	if n := w.in.Buffered(); n > 0 {
		w.t.Fatalf("%d octets behind the REPLY, before the handshake", n)
	}
}

// secure makes a handshake; what is sent and expected then is inside TLS.
func (w *wire) secure(config *tls.Config) (*tls.Conn, error) {
	t := tls.Client(w.TCPConn, config)
	if err := t.Handshake(); err != nil {
		return nil, err
	}
	w.in, w.out = bufio.NewReaderSize(t, 32<<10), t
	return t, nil
}

// dialTLS is a requestor's connection inside TLS.
func dialTLS(t *testing.T, s *served, config *tls.Config) (*wire, *tls.Conn) {
	t.Helper()
	w := dialWire(t, s.addr)
	w.startTLS()
	c, err := w.secure(config)
	if err != nil {
		t.Fatal(err)
	}
	return w, c
}

// expectRefusedHandshake wants the handshake to fail, or, with TLS 1.3, the server's refusal to come behind it; then the end.
func (w *wire) expectRefusedHandshake(config *tls.Config) {
	w.t.Helper()
	c, err := w.secure(config)
	if err == nil {
		var n int
		if n, err = c.Read(make([]byte, 1)); n > 0 {
			w.t.Fatal("the server speaks inside TLS")
		}
	}
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		w.t.Fatalf("want the handshake refused, got %v", err)
	}
	w.in = bufio.NewReader(w.TCPConn)
	w.expectEnd()
}
