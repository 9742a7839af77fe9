package starttls_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/leasehold/leasehold/protocol/starttls"
	"github.com/leasehold/leasehold/protocol/starttls/authority"
)

// A requestor believes a server whose certificate leads to its authorities, is for servers, and bears the name or address that was asked.
func TestClientVerifiesTheServer(t *testing.T) {
	for _, tc := range []struct {
		name, server, override string
		order                  authority.Order
		want                   error // nil, or a kind of error
	}{
		{name: "by name", server: "node.example:547"},
		{name: "by address", server: "[::1]:547"},
		{name: "by address without port", server: "::1"},
		{name: "by address with zone", server: "[::1%lo]:547"},
		{name: "by IPv4 address", server: "127.0.0.1:547"},
		{name: "another name", server: "other.example:547", want: x509.HostnameError{}},
		{name: "another address", server: "[::2]:547", want: x509.HostnameError{}},
		{name: "by a given name", server: "[2001:db8::7]:547", override: "node.example"},
		{name: "by a given name that it has not", server: "node.example:547", override: "other.example", want: x509.HostnameError{}},
		{name: "for requestors only", server: "node.example", order: authority.Order{Usage: authority.Requestor, Names: []string{"node.example"}, Valid: time.Hour}, want: x509.CertificateInvalidError{}},
		{name: "expired", server: "node.example", order: authority.Order{Names: []string{"node.example"}, Valid: -time.Hour}, want: x509.CertificateInvalidError{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFolder(t)
			if tc.order.Names != nil {
				f.issue("node", tc.order)
			}
			server, client := sockets(t)
			config := serverOf(t, f)
			made := make(chan struct{})
			go func() {
				defer close(made)
				_ = tls.Server(server, config).Handshake() // told by the other side
				_ = server.Close()
			}()
			_, err := f.client(func(c *starttls.ClientFiles) { c.ServerName = tc.override }).Handshake(t.Context(), client, tc.server)
			<-made
			switch want := tc.want.(type) {
			case nil:
				if err != nil {
					t.Error(err)
				}
			case x509.HostnameError:
				if !errors.As(err, &want) {
					t.Errorf("got %v, want a name that does not match", err)
				}
			case x509.CertificateInvalidError:
				if !errors.As(err, &want) {
					t.Errorf("got %v, want a certificate that is not valid", err)
				}
			}
		})
	}
	t.Run("of another authority", func(t *testing.T) {
		f := newFolder(t)
		server, client := sockets(t)
		config := serverOf(t, newFolder(t))
		go func() {
			_ = tls.Server(server, config).Handshake() // told by the other side
			_ = server.Close()
		}()
		_, err := f.client(nil).Handshake(t.Context(), client, "node.example")
		if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
			t.Errorf("got %v, %v", err, unknown)
		}
	})
}

// serverOf is any server's side, which does not check whether it makes sense.
func serverOf(t *testing.T, f *folder) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(f.path("node.pem"), f.path("node.key"))
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}
}

// A requestor's side holds to the profile as well: it does not speak an old version.
func TestRFC9325ClientRefusesOldVersions(t *testing.T) {
	f := newFolder(t)
	server, client := sockets(t)
	config := serverOf(t, f)
	config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	go func() {
		_ = tls.Server(server, config).Handshake() // told by the other side
		_ = server.Close()
	}()
	if _, err := f.client(nil).Handshake(t.Context(), client, "node.example"); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
}

func TestClientHandshakeEndsWithItsContext(t *testing.T) {
	f := newFolder(t)
	_, client := sockets(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.client(nil).Handshake(ctx, client, "node.example"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestNewClientTellsWhatIsWrong(t *testing.T) {
	f := newFolder(t)
	for name, tc := range map[string]struct {
		change func(*starttls.ClientFiles)
		want   string
	}{
		"no certificate":        {func(c *starttls.ClientFiles) { c.Certificate = "" }, "needs a certificate"},
		"no key":                {func(c *starttls.ClientFiles) { c.Key = "" }, "needs a certificate"},
		"a file that is not":    {func(c *starttls.ClientFiles) { c.CA = f.path("none") }, "none"},
		"another's key":         {func(c *starttls.ClientFiles) { c.Key = f.path("node.key") }, "node.key"},
		"a server's":            {func(c *starttls.ClientFiles) { c.Certificate, c.Key = f.path("node.pem"), f.path("node.key") }, "not for requestors"},
		"no authority's":        {func(c *starttls.ClientFiles) { c.CA = f.path("bng.pem") }, "no authority's"},
		"a key for authorities": {func(c *starttls.ClientFiles) { c.CA = f.path("bng.key") }, "no certificate in it"},
	} {
		files := f.clientFiles()
		tc.change(&files)
		if _, err := starttls.NewClient(files); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	files := f.clientFiles()
	files.CA = f.path("none")
	if _, err := starttls.NewClient(files); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
