package leasehold

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// authority issues certificates into a folder.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.issue("ca")
	return a
}

// issue writes NAME.pem and NAME.key; the first is the authority's own.
func (a *authority) issue(name string) (certificate, key string) {
	a.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv6loopback}, IsCA: a.cert == nil, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, k
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &k.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	if a.cert == nil {
		a.key = k
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			a.t.Fatal(err)
		}
	}
	octets, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	certificate, key = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	for file, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: octets}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return certificate, key
}

// proxy takes TLS, with a certificate of the client's, and speaks to a node in clear.
func (a *authority) proxy(node string) (address string) {
	a.t.Helper()
	own, err := tls.LoadX509KeyPair(a.issue("proxy"))
	if err != nil {
		a.t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(a.cert)
	l, err := tls.Listen("tcp", "[::1]:0", &tls.Config{Certificates: []tls.Certificate{own}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"h2"}})
	if err != nil {
		a.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			outer, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { join(ctx, outer, node) })
		}
	})
	a.t.Cleanup(func() {
		stop()
		l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// join passes on what comes from either side until one has ended.
func join(ctx context.Context, outer net.Conn, node string) {
	defer outer.Close()
	inner, err := net.Dial("tcp", node)
	if err != nil {
		return
	}
	defer inner.Close()
	defer context.AfterFunc(ctx, func() { outer.Close(); inner.Close() })()
	ended := make(chan error, 2)
	pass := func(to, from net.Conn) {
		_, err := io.Copy(to, from)
		ended <- err
		to.Close()
	}
	go pass(inner, outer)
	pass(outer, inner)
	<-ended
	<-ended
}

// TestLeasesReachTheClusterOverTLS feeds the cluster at LEASEHOLD_CLUSTER through a proxy that takes TLS of those only that have a
// certificate.
func TestLeasesReachTheClusterOverTLS(t *testing.T) {
	cluster := os.Getenv("LEASEHOLD_CLUSTER")
	if cluster == "" {
		t.Skip("LEASEHOLD_CLUSTER names no cluster; the tests of cmd/leasehold run this one with theirs")
	}
	node, _, _ := strings.Cut(cluster, ",")
	ours, theirs := newAuthority(t), newAuthority(t)
	at, ca := ours.proxy(node), filepath.Join(ours.dir, "ca.pem")
	certificate, key := ours.issue("dhcp1")
	wrongCertificate, wrongKey := theirs.issue("stranger")
	for name, tc := range map[string]struct {
		arguments []string
		arrives   bool
	}{
		"as it should be":            {[]string{"ca=" + ca, "certificate=" + certificate, "key=" + key, "wait=20s"}, true},
		"without a certificate":      {[]string{"ca=" + ca, "wait=500ms"}, false},
		"a stranger's certificate":   {[]string{"ca=" + ca, "certificate=" + wrongCertificate, "key=" + wrongKey, "wait=500ms"}, false},
		"a proxy of somebody else's": {[]string{"ca=" + filepath.Join(theirs.dir, "ca.pem"), "certificate=" + certificate, "key=" + key, "wait=500ms"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := parseArguments(append(tc.arguments, "source=tls", "cluster="+at))
			if err != nil {
				t.Fatal(err)
			}
			h, err := New(config)
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- h.Run(ctx) }()
			reply := message(t, dhcpv6.MessageTypeReply, time.Hour)
			out, withheld := h.Handle(relayed(t, message(t, dhcpv6.MessageTypeRequest, 0)), reply)
			if withheld == tc.arrives || (out == nil) == tc.arrives {
				t.Errorf("withheld: %v, want that it arrives: %v", withheld, tc.arrives)
			}
			stop()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("the feeder ended with %v", err)
			}
		})
	}
}
