package starttls

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// maxFile is how long a PEM file may be, in octets: a bundle of a hundred authorities is shorter.
const maxFile = 1 << 20

// Files is where the server's side of TLS comes from. All are PEM.
type Files struct {
	Certificate string // the server's certificate, then what leads from it to its root
	Key         string // its private key
	RequestorCA string // the authorities whose certificates requestors must show
}

// contents is what stands in Files.
type contents struct{ certificate, key, ca []byte }

func (c contents) equal(other contents) bool {
	return bytes.Equal(c.certificate, other.certificate) && bytes.Equal(c.key, other.key) && bytes.Equal(c.ca, other.ca)
}

// read reads the files.
func (f Files) read() (c contents, err error) {
	for _, x := range []struct {
		path string
		to   *[]byte
	}{{f.Certificate, &c.certificate}, {f.Key, &c.key}, {f.RequestorCA, &c.ca}} {
		if *x.to, err = readFile(x.path); err != nil {
			return contents{}, err
		}
	}
	return c, nil
}

// readFile is a file of at most maxFile octets.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	defer f.Close() // only read
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s is longer than %d octets", path, maxFile)
	}
	if err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return b, nil
}

// material is what files hold, ready for use. It does not change.
type material struct {
	certificate tls.Certificate
	authorities *x509.CertPool
	notBefore   time.Time // when all of the shown certificates have begun
	notAfter    time.Time // when the first of the shown certificates ends
	caNotAfter  time.Time // when the first of the authorities ends
}

// parse makes material of the files' contents. Its errors name the file.
func (f Files) parse(c contents) (*material, error) {
	pair, chain, err := parsePair(c.certificate, c.key)
	if err != nil {
		return nil, fmt.Errorf("TLS: %s, %s: %w", f.Certificate, f.Key, err)
	}
	if !usableFor(chain[0], x509.ExtKeyUsageServerAuth) {
		return nil, fmt.Errorf("TLS: %s: the certificate is not for servers (extended key usage)", f.Certificate)
	}
	ca, err := parseAuthorities(c.ca)
	if err != nil {
		return nil, fmt.Errorf("TLS: %s: %w", f.RequestorCA, err)
	}
	m := &material{certificate: pair, authorities: x509.NewCertPool(), notBefore: lastBegin(chain), notAfter: firstEnd(chain), caNotAfter: firstEnd(ca)}
	for _, a := range ca {
		m.authorities.AddCert(a)
	}
	return m, nil
}

// parsePair is a certificate, its chain and its key.
func parsePair(certificate, key []byte) (tls.Certificate, []*x509.Certificate, error) {
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return pair, nil, err
	}
	chain, err := parseCertificates(certificate)
	if err == nil {
		err = strongKeys(chain)
	}
	return pair, chain, err
}

// parseAuthorities is the certificates of a bundle, all of which must be authorities.
func parseAuthorities(b []byte) ([]*x509.Certificate, error) {
	list, err := parseCertificates(b)
	if err == nil {
		err = strongKeys(list)
	}
	if err != nil {
		return nil, err
	}
	for _, c := range list {
		if !c.IsCA {
			return nil, fmt.Errorf("certificate %q is no authority's", c.Subject)
		}
	}
	return list, nil
}

// parseCertificates is the certificates in PEM, one at least. Nothing is passed over.
func parseCertificates(b []byte) ([]*x509.Certificate, error) {
	var list []*x509.Certificate
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue // a key may stand in the same file
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(list)+1, err)
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, errors.New("no certificate in it")
	}
	return list, nil
}

// usableFor tells whether a certificate may be used so; one without extended key usage may be used for everything.
func usableFor(c *x509.Certificate, usage x509.ExtKeyUsage) bool {
	if len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	for _, u := range c.ExtKeyUsage {
		if u == usage || u == x509.ExtKeyUsageAny {
			return true
		}
	}
	return false
}

// lastBegin is when the last of the certificates begins.
func lastBegin(list []*x509.Certificate) time.Time {
	begin := list[0].NotBefore
	for _, c := range list[1:] {
		if c.NotBefore.After(begin) {
			begin = c.NotBefore
		}
	}
	return begin
}

// firstEnd is when the first of the certificates ends.
func firstEnd(list []*x509.Certificate) time.Time {
	end := list[0].NotAfter
	for _, c := range list[1:] {
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	return end
}
