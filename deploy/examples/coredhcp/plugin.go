package leasehold

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/coredhcp/coredhcp/handler"
	"github.com/coredhcp/coredhcp/plugins"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// Plugin is what coredhcp registers.
var Plugin = plugins.Plugin{Name: "leasehold", Setup6: setup}

// setup reads the plugin's arguments and starts the feeder, which runs as long as the program: coredhcp never stops a plugin.
func setup(args ...string) (handler.Handler6, error) {
	config, err := parseArguments(args)
	if err != nil {
		return nil, err
	}
	h, err := New(config)
	if err != nil {
		return nil, err
	}
	go func() {
		if err := h.Run(context.Background()); err != nil {
			config.Logger.Error("The feeder has ended: leases no longer reach the cluster", "error", err)
		}
	}()
	return h.Handle, nil
}

// parseArguments reads arguments of the form name=value.
func parseArguments(args []string) (Config, error) {
	c := Config{Logger: slog.Default()}
	var t tlsFiles
	for _, a := range args {
		name, value, _ := strings.Cut(a, "=")
		switch name {
		case "source":
			c.Source = value
		case "cluster":
			c.Cluster = strings.Split(value, ",")
		case "wait":
			d, err := time.ParseDuration(value)
			if err != nil {
				return c, fmt.Errorf("leasehold: wait: %w", err)
			}
			c.Wait = d
		case "insecure":
			c.DialOptions = []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
		case "ca":
			t.ca = value
		case "certificate":
			t.certificate = value
		case "key":
			t.key = value
		default:
			return c, fmt.Errorf("leasehold: unknown argument %q: want source=, cluster=, wait=, insecure, ca=, certificate= and key=", a)
		}
	}
	switch {
	case c.DialOptions == nil && t.ca == "":
		return c, errors.New("leasehold: say whom to trust with ca=FILE, or insecure to speak to the cluster in clear")
	case c.DialOptions != nil && t != tlsFiles{}:
		return c, errors.New("leasehold: insecure and TLS at once")
	case t.ca != "":
		config, err := t.config()
		if err != nil {
			return c, fmt.Errorf("leasehold: %w", err)
		}
		c.DialOptions = []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(config))}
	}
	return c, nil
}

// tlsFiles are PEM files: the authorities of what stands before the cluster, and what the plugin shows.
type tlsFiles struct{ ca, certificate, key string }

// config reads the files.
func (t tlsFiles) config() (*tls.Config, error) {
	ca, err := os.ReadFile(t.ca)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
	if !out.RootCAs.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("ca: no certificate in %s", t.ca)
	}
	if t.certificate == "" && t.key == "" {
		return out, nil
	}
	own, err := tls.LoadX509KeyPair(t.certificate, t.key)
	if err != nil {
		return nil, fmt.Errorf("certificate and key: %w", err)
	}
	out.Certificates = []tls.Certificate{own}
	return out, nil
}
