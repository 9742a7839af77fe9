package kea

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
)

// identity is how Kea is trusted, and what it is shown. The files are read for each connection, so that renewed ones are used
// without a restart; while they cannot be used, being written perhaps, the last good ones are.
type identity struct {
	config ControlConfig

	mu   sync.Mutex
	last *tls.Config
}

// load makes the configuration of a connection with host.
func (i *identity) load(host string) (*tls.Config, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	fresh, err := i.read()
	switch {
	case err == nil:
		i.last = fresh
	case i.last == nil:
		return nil, err
	default:
		i.config.Logger.Warn("Files of TLS cannot be used: Kea is asked with those from before", "error", err)
	}
	c := i.last.Clone()
	if c.ServerName = i.config.ServerName; c.ServerName == "" {
		c.ServerName = host
	}
	return c, nil
}

func (i *identity) read() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if i.config.CA != "" {
		text, err := os.ReadFile(i.config.CA)
		if err != nil {
			return nil, fmt.Errorf("TLS: CA: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("TLS: CA: no certificate in %s", i.config.CA)
		}
	}
	if i.config.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(i.config.Certificate, i.config.Key)
		if err != nil {
			return nil, fmt.Errorf("TLS: certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
