package starttls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
)

// ClientFiles is where a requestor's side of TLS comes from. All are PEM.
type ClientFiles struct {
	Certificate string // the requestor's certificate, then what leads from it to its root
	Key         string // its private key
	CA          string // the authorities whose certificates servers must show; empty: those of the system
	ServerName  string // the name that they must bear; empty: the host that was asked, by name or address
}

// Client is the requestor's side of TLS. Any number of goroutines may use it. Make one with NewClient.
type Client struct {
	config     *tls.Config
	serverName string
}

// NewClient reads the files. Both sides of a connection show a certificate (RFC 7653 9.1), so it wants one of the requestor.
func NewClient(files ClientFiles) (*Client, error) {
	if files.Certificate == "" || files.Key == "" {
		return nil, errors.New("TLS: a requestor needs a certificate and its key: servers want to see it")
	}
	var c contents
	for _, x := range []struct {
		path string
		to   *[]byte
	}{{files.Certificate, &c.certificate}, {files.Key, &c.key}, {files.CA, &c.ca}} {
		if x.path == "" {
			continue
		}
		var err error
		if *x.to, err = readFile(x.path); err != nil {
			return nil, err
		}
	}
	pair, chain, err := parsePair(c.certificate, c.key)
	if err != nil {
		return nil, fmt.Errorf("TLS: %s, %s: %w", files.Certificate, files.Key, err)
	}
	if !usableFor(chain[0], x509.ExtKeyUsageClientAuth) {
		return nil, fmt.Errorf("TLS: %s: the certificate is not for requestors (extended key usage)", files.Certificate)
	}
	config := profile()
	config.Certificates = []tls.Certificate{pair}
	config.VerifyConnection = func(s tls.ConnectionState) error { return strong(s.VerifiedChains) }
	if files.CA != "" {
		list, err := parseAuthorities(c.ca)
		if err != nil {
			return nil, fmt.Errorf("TLS: %s: %w", files.CA, err)
		}
		config.RootCAs = x509.NewCertPool()
		for _, a := range list {
			config.RootCAs.AddCert(a)
		}
	}
	return &Client{config: config, serverName: files.ServerName}, nil
}

// Handshake makes the requestor's side of a handshake on socket with a server that was asked for as host:port or host. It ends with ctx;
// the socket is then closed.
func (c *Client) Handshake(ctx context.Context, socket net.Conn, server string) (*tls.Conn, error) {
	config := c.config.Clone()
	if config.ServerName = c.serverName; config.ServerName == "" {
		config.ServerName = hostOf(server)
	}
	conn := tls.Client(socket, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake with %s: %w", server, err)
	}
	return conn, nil
}

// hostOf is the name or address that a server's certificate must bear: without port and zone.
func hostOf(server string) string {
	host, _, err := net.SplitHostPort(server)
	if err != nil {
		host = strings.Trim(server, "[]")
	}
	host, _, _ = strings.Cut(host, "%")
	return host
}
