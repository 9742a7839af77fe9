package kea

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// idleConnection is how long a connection is kept for the next command. Kea closes one after 30 s.
const idleConnection = 20 * time.Second

// httpCarrier asks over HTTP or HTTPS.
type httpCarrier struct {
	config    ControlConfig
	transport *http.Transport
}

func newHTTPCarrier(config ControlConfig) *httpCarrier {
	h := &httpCarrier{config: config}
	identity := &identity{config: config}
	dialer := &net.Dialer{}
	h.transport = &http.Transport{
		DialContext: dialer.DialContext,
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			tlsConfig, err := identity.load(host)
			if err != nil {
				return nil, err
			}
			return (&tls.Dialer{NetDialer: dialer, Config: tlsConfig}).DialContext(ctx, network, address)
		},
		MaxIdleConns: 2, IdleConnTimeout: idleConnection, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
	}
	return h
}

func (h *httpCarrier) close() { h.transport.CloseIdleConnections() }

func (h *httpCarrier) carry(ctx context.Context, command []byte) (a answer, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.config.URL, bytes.NewReader(command))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	// Every command that is asked only reads: one that meets a connection that Kea is closing may go out again on another. Without a
	// value the header is not sent.
	request.Header["X-Idempotency-Key"] = nil
	if h.config.User != "" {
		password, err := h.password()
		if err != nil {
			return answer{}, err
		}
		request.SetBasicAuth(h.config.User, password)
	}
	response, err := h.transport.RoundTrip(request) // a redirect is no answer of Kea's
	if err != nil {
		return answer{}, ended(ctx, err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	a.status = response.StatusCode
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		a.date = date
	}
	if a.body, err = readAll(response.Body, h.config.longest); errors.Is(err, io.ErrUnexpectedEOF) && a.status != http.StatusOK {
		err = nil // the status says it all
	}
	return a, ended(ctx, err)
}

func (h *httpCarrier) password() (string, error) {
	if h.config.PasswordFile == "" {
		return h.config.Password, nil
	}
	text, err := os.ReadFile(h.config.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("password: %w", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}
