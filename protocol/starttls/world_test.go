package starttls_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leasehold/leasehold/protocol/starttls"
	"github.com/leasehold/leasehold/protocol/starttls/authority"
)

// folder is an authority and a folder of files that it signed.
type folder struct {
	t        testing.TB
	dir      string
	ca       *authority.Authority
	registry *prometheus.Registry // of the credentials loaded last
}

func newFolder(t testing.TB) *folder {
	t.Helper()
	f := &folder{t: t, dir: t.TempDir()}
	ca, pair, err := authority.New("test", 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	f.ca = ca
	f.write("ca.pem", pair.Certificate)
	f.issue("node", authority.Order{Usage: authority.Server, Names: []string{"node.example", "::1", "127.0.0.1"}, Valid: time.Hour})
	f.issue("bng", authority.Order{Usage: authority.Requestor, Names: []string{"bng.example"}, Valid: time.Hour})
	return f
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

func (f *folder) write(name string, b []byte) {
	f.t.Helper()
	if err := os.WriteFile(f.path(name), b, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// issue writes NAME.pem and NAME.key.
func (f *folder) issue(name string, o authority.Order) authority.Pair {
	f.t.Helper()
	pair, err := f.ca.Issue(o)
	if err != nil {
		f.t.Fatal(err)
	}
	f.write(name+".pem", pair.Certificate)
	f.write(name+".key", pair.Key)
	return pair
}

func (f *folder) files() starttls.Files {
	return starttls.Files{Certificate: f.path("node.pem"), Key: f.path("node.key"), RequestorCA: f.path("ca.pem")}
}

func (f *folder) clientFiles() starttls.ClientFiles {
	return starttls.ClientFiles{Certificate: f.path("bng.pem"), Key: f.path("bng.key"), CA: f.path("ca.pem")}
}

func (f *folder) load() *starttls.Credentials {
	f.t.Helper()
	f.registry = prometheus.NewRegistry()
	c, err := starttls.Load(f.files(), nil, starttls.NewMetrics(f.registry))
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

func (f *folder) client(change func(*starttls.ClientFiles)) *starttls.Client {
	f.t.Helper()
	files := f.clientFiles()
	if change != nil {
		change(&files)
	}
	c, err := starttls.NewClient(files)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// metric is the value of one series: its name, or name and result.
func (f *folder) metric(name, result string) float64 {
	f.t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == name && (result == "" || m.GetLabel()[0].GetValue() == result) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

// sockets is both ends of a TCP connection, which end with the test.
func sockets(t testing.TB) (server, client net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = server.Close(), client.Close() }) // closed before by some tests
	return server, client
}

// anybody lets every requestor in.
func anybody([]string) error { return nil }
