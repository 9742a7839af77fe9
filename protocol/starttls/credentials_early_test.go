package starttls_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leasehold/leasehold/protocol/starttls"
	"github.com/leasehold/leasehold/protocol/starttls/authority"
)

// early writes a certificate that begins later, and tells when it ends.
func (f *folder) early(name string, begins time.Time) (ends time.Time) {
	f.t.Helper()
	ends = begins.Add(1000 * time.Hour)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: begins, NotAfter: ends, DNSNames: []string{"node.example"}}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	f.sign(name, template, key, key)
	return ends
}

// A certificate that is not valid yet is shown from when it is: before, every requestor would refuse it.
func TestReloadWaitsForACertificateThatBeginsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFolder(t)
		good := time.Now().Add(10 * time.Hour)
		f.issue("node", authority.Order{Usage: authority.Server, Names: []string{"node.example"}, Valid: 10 * time.Hour})
		c := f.load()
		ends := f.early("node", time.Now().Add(time.Hour))
		for range 2 {
			if err := c.Reload(); err == nil || !strings.Contains(err.Error(), "not valid yet") {
				t.Errorf("got %v, want that it is not valid yet", err)
			}
		}
		if got := f.metric(starttls.MetricNotAfter, ""); got > float64(good.Unix()) {
			t.Errorf("one is shown that ends at %v, want %v", got, good.Unix())
		}
		<-time.After(time.Hour)
		for range 2 {
			if err := c.Reload(); err != nil {
				t.Error(err)
			}
		}
		if got := f.metric(starttls.MetricNotAfter, ""); got != float64(ends.Unix()) {
			t.Errorf("one is shown that ends at %v, want %v", got, ends.Unix())
		}
		if ok, failed := f.metric(starttls.MetricReloads, "ok"), f.metric(starttls.MetricReloads, "failed"); ok != 1 || failed != 1 {
			t.Errorf("counted %v taken and %v failed, want one each", ok, failed)
		}
	})
}
