package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/leasehold/leasehold/protocol/starttls"
)

// TLSMode says whether requestors may, or must, speak TLS on the leasequery port.
type TLSMode string

// The modes of TLS (RFC 7653 9.1).
const (
	TLSOff      TLSMode = "off"      // STARTTLS is refused with TLSConnectionRefused
	TLSOptional TLSMode = "optional" // in clear as well
	TLSRequired TLSMode = "required" // a connection that does not begin with STARTTLS is closed
)

// TLS is STARTTLS on the leasequery port, TCP (RFC 7653 9.1, RFC 9325). Both sides show a certificate.
type TLS struct {
	Mode             TLSMode       `yaml:"mode"`
	Certificate      string        `yaml:"certificate"`  // PEM file: the node's certificate and what leads to its root
	Key              string        `yaml:"key"`          // PEM file: the key of the certificate
	RequestorCA      string        `yaml:"requestor_ca"` // PEM file: whose certificates requestors must show
	HandshakeTimeout time.Duration `yaml:"handshake_timeout"`
	MaxStrangers     int           `yaml:"max_strangers"` // connections at once, before their handshake, from addresses that no stanza has
}

// tls checks that what TLS needs is there. The paths of its files become relative to the configuration file's folder.
func (c *checker) tls(cfg *Config) {
	t := &cfg.TLS
	switch t.Mode {
	case TLSOff, TLSOptional, TLSRequired:
	default:
		c.errorf("tls.mode", "%q, want off, optional or required", t.Mode)
	}
	if t.HandshakeTimeout <= 0 || t.HandshakeTimeout > 5*time.Minute {
		c.errorf("tls.handshake_timeout", "%v, want more than 0 and up to 5m", t.HandshakeTimeout)
	}
	if t.MaxStrangers < 0 || t.MaxStrangers > 1_000_000 {
		c.errorf("tls.max_strangers", "%d, want 0 (none) to 1000000", t.MaxStrangers)
	}
	before, used := len(c.errors), t.Mode == TLSOptional || t.Mode == TLSRequired
	for _, f := range []struct {
		key  string
		path *string
	}{{"tls.certificate", &t.Certificate}, {"tls.key", &t.Key}, {"tls.requestor_ca", &t.RequestorCA}} {
		if *f.path != "" && !filepath.IsAbs(*f.path) {
			*f.path = filepath.Join(c.folder, *f.path)
		}
		if used {
			c.file(f.key, *f.path)
		}
	}
	if !used || len(c.errors) > before {
		return
	}
	if _, err := starttls.Load(t.Files(), nil, nil); err != nil {
		c.errorf("tls", "%v", err)
	}
}

// Files are the files of TLS.
func (t *TLS) Files() starttls.Files {
	return starttls.Files{Certificate: t.Certificate, Key: t.Key, RequestorCA: t.RequestorCA}
}

// file wants a file to be there.
func (c *checker) file(key, path string) {
	if path == "" {
		c.errorf(key, "is needed for tls.mode optional and required: a PEM file; `leasehold tls` makes them")
		return
	}
	info, err := os.Stat(path)
	var why *fs.PathError
	switch {
	case errors.As(err, &why):
		c.errorf(key, "%s: %v", path, why.Err)
	case err != nil:
		c.errorf(key, "%s: %v", path, err)
	case !info.Mode().IsRegular():
		c.errorf(key, "%s is not a file", path)
	case key == "tls.key" && info.Mode().Perm()&0o007 != 0:
		c.warnf(key, "%s can be read by everybody (%v)", path, info.Mode().Perm())
	}
}
