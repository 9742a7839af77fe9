package starttls_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/starttls"
)

func address(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

func TestNames(t *testing.T) {
	for name, tc := range map[string]struct {
		certificate x509.Certificate
		want        []string
	}{
		"all kinds": {x509.Certificate{
			Subject:        pkix.Name{CommonName: "common.example"}, // never
			DNSNames:       []string{"BNG-1.Example.", "*.example"},
			URIs:           []*url.URL{address("spiffe://isp.example/bng-1")},
			IPAddresses:    []net.IP{net.ParseIP("2001:db8:0:0::1"), net.IPv4(192, 0, 2, 1), net.IPv4(192, 0, 2, 2).To4()},
			EmailAddresses: []string{"Noc@example"},
		}, []string{"bng-1.example", "*.example", "spiffe://isp.example/bng-1", "2001:db8::1", "192.0.2.1", "192.0.2.2", "Noc@example"}},
		"the common name alone": {x509.Certificate{Subject: pkix.Name{CommonName: "common.example"}}, nil},
		"names that look like those of another kind": {x509.Certificate{
			DNSNames:       []string{"192.0.2.1", "2001:db8::1", "spiffe://a/b", "a@b", "", "a b", "a\x00b", "ä"},
			URIs:           []*url.URL{address("fe80::1"), address("//host/path"), address("name"), address("a@b")},
			IPAddresses:    []net.IP{{1, 2, 3}},
			EmailAddresses: []string{"spiffe://a@b/c", "name", "mailto:a@b", ""},
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, starttls.Names(&tc.certificate)); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
}
