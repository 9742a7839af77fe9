package ladder

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/leasehold/leasehold/protocol/requestor"
	"github.com/leasehold/leasehold/protocol/starttls"
	"github.com/leasehold/leasehold/protocol/starttls/authority"
)

// certificates makes an authority and certificates in a folder: for the nodes, and for the ladder itself. settings lets the nodes speak
// TLS beside clear.
func certificates(dir string) (settings []string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a folder for certificates: %w", err)
	}
	ca, own, err := authority.New("ladder", 24*time.Hour)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"ca.pem": own.Certificate}
	for name, usage := range map[string]authority.Usage{"node": authority.Server, "requestor": authority.Requestor} {
		pair, err := ca.Issue(authority.Order{Usage: usage, Names: []string{name + ".example", "::1"}, Valid: 24 * time.Hour})
		if err != nil {
			return nil, err
		}
		files[name+".pem"], files[name+".key"] = pair.Certificate, pair.Key
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return nil, fmt.Errorf("write certificates: %w", err)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	return []string{"tls.mode=optional", "tls.certificate=" + at("node.pem"), "tls.key=" + at("node.key"), "tls.requestor_ca=" + at("ca.pem")}, nil
}

// dialTLS connects and makes TLS of it.
func (m *climb) dialTLS(ctx context.Context, server string) (net.Conn, error) {
	dir := filepath.Join(m.Dir, "tls")
	client, err := starttls.NewClient(starttls.ClientFiles{
		Certificate: filepath.Join(dir, "requestor.pem"), Key: filepath.Join(dir, "requestor.key"), CA: filepath.Join(dir, "ca.pem"),
	})
	if err != nil {
		return nil, err
	}
	conn, err := dialClear(ctx, server)
	if err != nil {
		return nil, err
	}
	return requestor.StartTLS(ctx, conn, server, client)
}

// sealed measures bulk answers inside TLS beside bulk answers in clear, in turns, each half of the time.
func (m *climb) sealed() error {
	relays, err := m.relayIDs()
	if err != nil {
		return err
	}
	var rates [2]float64 // in clear, inside TLS
	for range 2 {
		for i, dial := range []dialer{dialClear, m.dialTLS} {
			s, err := streamRelays(m.ctx, dial, m.cluster.Nodes[0].LeasequeryTCP, relays, streamTime/4)
			if err != nil {
				return err
			}
			rates[i] += float64(s.messages) / s.took.Seconds() / 2
		}
	}
	m.note(row("bulk answer inside TLS 1.3, one connection, messages", rates[1], "messages/s", rates[0], "the same answer in clear, in turns"))
	return nil
}
