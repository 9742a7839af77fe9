package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/starttls"
)

func parse(t *testing.T, p Pair) *x509.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(p.Certificate, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	if k, ok := pair.PrivateKey.(*ecdsa.PrivateKey); !ok || k.Curve != elliptic.P256() {
		t.Errorf("a key of another kind: %T", pair.PrivateKey)
	}
	return pair.Leaf
}

func TestIssue(t *testing.T) {
	a, own, err := New("ours", 48*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	root := parse(t, own)
	if again, err := Parse(own); err != nil || !again.NotAfter().Equal(a.NotAfter()) {
		t.Fatal(err)
	}
	names := []string{"node-1.example", "2001:db8::1", "192.0.2.1", "spiffe://isp/node-1", "noc@isp.example"}
	for usage, want := range map[Usage]x509.ExtKeyUsage{Server: x509.ExtKeyUsageServerAuth, Requestor: x509.ExtKeyUsageClientAuth} {
		pair, err := a.Issue(Order{Usage: usage, Names: names, Valid: 24 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		c := parse(t, pair)
		roots := x509.NewCertPool()
		roots.AddCert(root)
		if _, err := c.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{want}}); err != nil {
			t.Error(err)
		}
		other := x509.ExtKeyUsageServerAuth + x509.ExtKeyUsageClientAuth - want
		if _, err := c.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{other}}); err == nil {
			t.Error("it is good for the other side as well")
		}
		if diff := cmp.Diff([]string{"node-1.example", "spiffe://isp/node-1", "2001:db8::1", "192.0.2.1", "noc@isp.example"}, starttls.Names(c)); diff != "" {
			t.Errorf("names (-want +got):\n%s", diff)
		}
		if c.IsCA {
			t.Error("it can sign others")
		}
	}
	long, err := a.Issue(Order{Names: names, Valid: 1000 * time.Hour})
	if err != nil || !parse(t, long).NotAfter.Equal(root.NotAfter) {
		t.Errorf("%v, or a certificate that outlives its authority", err)
	}
}

func TestIssueThatMakesNoSense(t *testing.T) {
	a, own, err := New("ours", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, names := range [][]string{nil, {""}, {"a b"}, {"node", "//x"}, {"fe80::1%eth0"}, {"x://%zz"}} {
		if _, err := a.Issue(Order{Names: names, Valid: time.Hour}); !errors.Is(err, ErrNames) {
			t.Errorf("%q: %v", names, err)
		}
	}
	leaf, err := a.Issue(Order{Names: []string{"x"}, Valid: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]Pair{"no authority": leaf, "mixed": {own.Certificate, leaf.Key}, "nothing": {}} {
		if _, err := Parse(p); err == nil {
			t.Errorf("%s is taken for an authority", name)
		}
	}
}
