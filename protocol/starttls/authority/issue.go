package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"time"

	"github.com/leasehold/leasehold/protocol/starttls"
)

// Usage is what a certificate is for.
type Usage uint8

// The usages.
const (
	Server    Usage = iota // a node
	Requestor              // whoever asks it
)

// ErrNames says that a certificate was asked for without names, or with one that is none.
var ErrNames = errors.New("names of a certificate")

// Order says which certificate to make.
type Order struct {
	Usage Usage
	// Names are DNS names, IP addresses, URIs and mail addresses; one at least. The first is the subject's common name as well, which
	// nobody looks at but people.
	Names []string
	// Valid is how long it lasts, from now on; less than nothing makes one that has ended. It ends with the authority at the latest.
	Valid time.Duration
}

// Issue makes a certificate and its key.
func (a *Authority) Issue(o Order) (Pair, error) {
	if len(o.Names) == 0 {
		return Pair{}, fmt.Errorf("%w: none given", ErrNames)
	}
	template, err := newTemplate(o.Names[0], o.Valid)
	if err != nil {
		return Pair{}, err
	}
	for _, name := range o.Names {
		if err := addName(template, name); err != nil {
			return Pair{}, err
		}
	}
	if template.NotAfter.After(a.certificate.NotAfter) {
		template.NotAfter = a.certificate.NotAfter
	}
	if o.Valid <= 0 {
		template.NotBefore = template.NotAfter.Add(-backdate)
	}
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if o.Usage == Requestor {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("make a key: %w", err)
	}
	return sign(template, a.certificate, key, a.key)
}

// addName puts a name where its kind belongs.
func addName(c *x509.Certificate, name string) error {
	switch starttls.KindOf(name) {
	case starttls.AddressName:
		a, err := netip.ParseAddr(name)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNames, err)
		}
		c.IPAddresses = append(c.IPAddresses, net.IP(a.Unmap().AsSlice()))
	case starttls.URIName:
		u, err := url.Parse(name)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNames, err)
		}
		c.URIs = append(c.URIs, u)
	case starttls.MailName:
		c.EmailAddresses = append(c.EmailAddresses, name)
	case starttls.DNSName:
		c.DNSNames = append(c.DNSNames, name)
	default:
		return fmt.Errorf("%w: %q is no DNS name, address, URI or mail address", ErrNames, name)
	}
	return nil
}
