package kea

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
)

// PushFiles are what a listener for pushes shows, and whom it trusts. All are PEM.
type PushFiles struct {
	Certificate string // the listener's certificate, with what leads from it to its root
	Key         string
	ClientCA    string // the authorities whose certificates Kea must show; empty: none is asked for
}

// TLS makes the configuration of a listener. The files are read for each connection, so that renewed ones are used without a restart;
// while they cannot be used, being written perhaps, the last good ones are. The error wraps ErrConfig and names the file.
func (f PushFiles) TLS(log *slog.Logger) (*tls.Config, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	last, err := f.read()
	if err != nil {
		return nil, fmt.Errorf("%w: TLS for pushes: %w", ErrConfig, err)
	}
	var mu sync.Mutex
	complained := false
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		mu.Lock()
		defer mu.Unlock()
		fresh, err := f.read()
		if err == nil {
			last, complained = fresh, false
		} else if !complained {
			complained = true
			log.Error("Files of TLS for pushes cannot be used: those from before are", "error", err)
		}
		return last, nil
	}}, nil
}

func (f PushFiles) read() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(f.Certificate, f.Key)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", f.Certificate, f.Key, err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if f.ClientCA == "" {
		return c, nil
	}
	text, err := os.ReadFile(f.ClientCA)
	if err != nil {
		return nil, err
	}
	c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: %w", f.ClientCA, errNoCertificate)
	}
	return c, nil
}

var errNoCertificate = errors.New("no certificate in it")
