package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"

	"github.com/leasehold/leasehold/cmd/leasehold/config"
	"github.com/leasehold/leasehold/feed/kea"
)

// maxPassword bounds a password file, in octets.
const maxPassword = 4096

// openKea makes a source of Kea, and opens the listener that Kea pushes to.
func openKea(name string, c *config.Kea, log *slog.Logger) (_ feederSource, err error) {
	k := kea.ServerConfig{Leases: c.Leases, KeaConfig: c.Config, Resync: c.Resync, Page: c.Page, Logger: log}
	if c.Control.URL != "" {
		t := c.Control.TLS
		k.Control, err = kea.NewControl(kea.ControlConfig{URL: c.Control.URL, User: c.Control.User, PasswordFile: c.Control.PasswordFile,
			CA: t.CA, Certificate: t.Certificate, Key: t.Key, ServerName: t.ServerName, Logger: log})
		if err != nil {
			return feederSource{}, err
		}
	}
	if c.Push.Listen != "" {
		if err := listenForKea(&k, &c.Push, log); err != nil {
			return feederSource{}, err
		}
	}
	server, err := kea.NewServer(k)
	if err != nil {
		if k.Push != nil {
			err = errors.Join(err, k.Push.Close())
		}
		return feederSource{}, err
	}
	s := feederSource{name: name, source: server, close: func() error {
		if k.Control != nil {
			k.Control.Close()
		}
		return nil
	}}
	if k.Push != nil {
		s.serve = server.Serve
	}
	return s, nil
}

// listenForKea opens the listener of a backup peer.
func listenForKea(k *kea.ServerConfig, p *config.Push, log *slog.Logger) (err error) {
	k.PushUser, k.PushEarly = p.User, p.Early
	if p.PasswordFile != "" {
		if k.PushPassword, err = readPassword(p.PasswordFile); err != nil {
			return err
		}
	}
	if t := p.TLS; t.Certificate != "" {
		if k.PushTLS, err = (kea.PushFiles{Certificate: t.Certificate, Key: t.Key, ClientCA: t.ClientCA}).TLS(log); err != nil {
			return err
		}
	}
	if k.Push, err = net.Listen("tcp", p.Listen); err != nil {
		return fmt.Errorf("listen for Kea: %w", err)
	}
	return nil
}

// readPassword reads a password file; a line end behind the password is not part of it.
func readPassword(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	if info.Size() > maxPassword {
		return "", fmt.Errorf("read password from %s: %d octets, at most %d", path, info.Size(), maxPassword)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}
