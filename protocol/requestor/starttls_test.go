package requestor

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/leasehold/leasehold/protocol/bulk"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/starttls"
	"github.com/leasehold/leasehold/protocol/starttls/authority"
)

// tlsWorld is an authority, whose servers and requestors have their files in a folder.
type tlsWorld struct {
	t   testing.TB
	dir string
	ca  *authority.Authority
}

func newTLSWorld(t testing.TB) *tlsWorld {
	t.Helper()
	ca, pair, err := authority.New("test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	w := &tlsWorld{t: t, dir: t.TempDir(), ca: ca}
	w.write("ca.pem", pair.Certificate)
	return w
}

func (w *tlsWorld) path(name string) string { return filepath.Join(w.dir, name) }

func (w *tlsWorld) write(name string, b []byte) {
	w.t.Helper()
	if err := os.WriteFile(w.path(name), b, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *tlsWorld) issue(name string, usage authority.Usage, names ...string) {
	w.t.Helper()
	pair, err := w.ca.Issue(authority.Order{Usage: usage, Names: names, Valid: time.Hour})
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(name+".pem", pair.Certificate)
	w.write(name+".key", pair.Key)
}

// node is a server that only requestors with the certificate name "bng.example" may ask.
func (w *tlsWorld) node(clients int, names ...string) *node {
	w.t.Helper()
	w.issue("node", authority.Server, names...)
	creds, err := starttls.Load(starttls.Files{Certificate: w.path("node.pem"), Key: w.path("node.key"), RequestorCA: w.path("ca.pem")}, nil, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return newNodeOf(w.t, clients, bulk.Config{TLS: bulk.TLS{Mode: starttls.Required, Credentials: creds}},
		leasequery.Requestor{Name: "bng", Names: []string{"bng.example"}})
}

// client is the side of a requestor of that name.
func (w *tlsWorld) client(name string) *starttls.Client {
	w.t.Helper()
	w.issue("client", authority.Requestor, name)
	c, err := starttls.NewClient(starttls.ClientFiles{Certificate: w.path("client.pem"), Key: w.path("client.key"), CA: w.path("ca.pem")})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// everyone is a query that every client of a node answers.
func everyone() Query { return Query{Type: dhcpv6.QueryByRelayID, RelayID: []byte("relay-1")} }

// Over a real server: the same clients as in clear, on one connection, query by query, and by QueryAny under a name that is looked up.
func TestRule19RequestorAsksInTLS(t *testing.T) {
	const clients = 3000
	w := newTLSWorld(t)
	n := w.node(clients, "::1", "dhcp.example")
	config := Config{ClientID: ownID, TLS: w.client("bng.example")}
	c, err := Dial(t.Context(), n.addr, config)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		count := 0
		if err := c.Query(t.Context(), everyone(), func(*Client) error { count++; return nil }); err != nil || count != clients {
			t.Errorf("%d clients, %v", count, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	_, port, err := net.SplitHostPort(n.addr)
	if err != nil {
		t.Fatal(err)
	}
	config.Lookup = func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{netip.IPv6Loopback()}, nil }
	config.Rounds = 1
	for name, good := range map[string]bool{"dhcp.example": true, "other.example": false} { // the address is in the certificate: it does not count
		count := 0
		err := QueryAny(t.Context(), []string{net.JoinHostPort(name, port)}, config, everyone(), func(*Client) error { count++; return nil })
		if good && (err != nil || count != clients) || !good && !errors.Is(err, ErrTLS) {
			t.Errorf("%s: %d clients, %v", name, count, err)
		}
	}
}

// A server that does not want this requestor says so by an alert: with TLS 1.3 in place of the first answer.
func TestRule19RequestorThatIsNotAcceptable(t *testing.T) {
	w := newTLSWorld(t)
	n := w.node(1, "::1")
	c, err := Dial(t.Context(), n.addr, Config{ClientID: ownID, TLS: w.client("other.example")})
	if err == nil {
		err = c.Query(t.Context(), everyone(), func(*Client) error { t.Error("a client"); return nil })
	}
	if !errors.Is(err, ErrTLS) {
		t.Errorf("got %v, want ErrTLS", err)
	}
	other := newTLSWorld(t)
	if _, err := Dial(t.Context(), n.addr, Config{ClientID: ownID, TLS: other.client("bng.example")}); !errors.Is(err, ErrTLS) {
		t.Errorf("a server of another authority: %v, want ErrTLS", err)
	}
	if _, err := Dial(t.Context(), newNode(t, 1).addr, Config{ClientID: ownID, TLS: other.client("bng.example")}); !errors.Is(err, ErrTLSRefused) {
		t.Errorf("a server in clear: %v, want ErrTLSRefused", err)
	}
}

// RFC 7653 8.2: what may come in answer to STARTTLS, and what must never count as said inside TLS.
func TestRFC7653AnswersToStartTLS(t *testing.T) {
	w := newTLSWorld(t)
	config := Config{ClientID: ownID, TLS: w.client("bng.example")}
	reply := func(id []byte, kind byte, options dhcpv6.Options) []byte {
		body := slices.Concat([]byte{kind}, id, options)
		return slices.Concat([]byte{byte(len(body) >> 8), byte(len(body))}, body)
	}
	status := func(s dhcpv6.Status) dhcpv6.Options { return must(dhcpv6.StatusCode{Status: s, Text: "no"}) }
	for name, tc := range map[string]struct {
		answer func(id []byte) [][]byte // segments, then the end
		want   error
	}{
		"the end":                    {func([]byte) [][]byte { return nil }, ErrTLSRefused},
		"half a REPLY":               {func(id []byte) [][]byte { return [][]byte{reply(id, 7, nil)[:4]} }, ErrTLSRefused},
		"TLSConnectionRefused":       {func(id []byte) [][]byte { return [][]byte{reply(id, 7, status(dhcpv6.StatusTLSConnectionRefused))} }, ErrTLSRefused},
		"another status":             {func(id []byte) [][]byte { return [][]byte{reply(id, 7, status(dhcpv6.StatusUnspecFail))} }, ErrTLSRefused},
		"a status cut short":         {func(id []byte) [][]byte { return [][]byte{reply(id, 7, []byte{0, 13, 0, 1, 0})} }, ErrProtocol},
		"broken options":             {func(id []byte) [][]byte { return [][]byte{reply(id, 7, []byte{0, 13, 0, 9})} }, ErrProtocol},
		"another transaction-id":     {func(id []byte) [][]byte { return [][]byte{reply([]byte{id[0] ^ 1, id[1], id[2]}, 7, nil)} }, ErrProtocol},
		"another message":            {func(id []byte) [][]byte { return [][]byte{reply(id, 15, nil)} }, ErrProtocol},
		"too short to be a message":  {func([]byte) [][]byte { return [][]byte{{0, 3, 7, 1, 2}} }, ErrProtocol},
		"longer than a REPLY can be": {func(id []byte) [][]byte { return [][]byte{reply(id, 7, make([]byte, 5000))} }, ErrProtocol},
		"octets behind the REPLY, one segment": {func(id []byte) [][]byte {
			return [][]byte{append(reply(id, 7, nil), reply(id, 15, nil)...)}
		}, ErrTLS},
		"octets behind the REPLY, two segments": {func(id []byte) [][]byte { return [][]byte{reply(id, 7, nil), reply(id, 15, nil)} }, ErrTLS},
		"no handshake":                          {func(id []byte) [][]byte { return [][]byte{reply(id, 7, nil)} }, ErrTLS},
		"a REPLY with status Success, then nothing": {func(id []byte) [][]byte {
			return [][]byte{reply(id, 7, status(dhcpv6.StatusSuccess))}
		}, ErrTLS},
	} {
		t.Run(name, func(t *testing.T) {
			addr := answering(t, tc.answer)
			if _, err := Dial(t.Context(), addr, config); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	t.Run("the status is told", func(t *testing.T) {
		addr := answering(t, func(id []byte) [][]byte { return [][]byte{reply(id, 7, status(dhcpv6.StatusTLSConnectionRefused))} })
		_, err := Dial(t.Context(), addr, config)
		if s, ok := errors.AsType[*StatusError](err); !ok || s.Status != dhcpv6.StatusTLSConnectionRefused {
			t.Errorf("got %v", err)
		}
	})
	t.Run("silence, until it is given up", func(t *testing.T) {
		l := listenLoopback(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("given up")
		accepted := make(chan net.Conn, 1)
		go func() {
			c, err := l.Accept()
			if err != nil {
				t.Error(err)
			}
			if _, err := io.ReadFull(c, make([]byte, 6)); err != nil {
				t.Error(err)
			}
			accepted <- c
			cancel(gone)
		}()
		if _, err := Dial(ctx, l.Addr().String(), config); !errors.Is(err, gone) {
			t.Errorf("got %v", err)
		}
		if err := (<-accepted).Close(); err != nil {
			t.Error(err)
		}
	})
}

func listenLoopback(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// answering is a server that reads STARTTLS, which must have no options, and sends segments, and then its end.
func answering(t *testing.T, answer func(id []byte) [][]byte) string {
	t.Helper()
	l := listenLoopback(t)
	over := make(chan struct{})
	go func() {
		defer close(over)
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		var asked [6]byte
		if _, err := io.ReadFull(c, asked[:]); err != nil || asked[1] != 4 || asked[2] != 23 {
			t.Errorf("got %x, %v, want STARTTLS", asked, err)
			return
		}
		for _, b := range answer(asked[3:]) {
			if _, err := c.Write(b); err != nil {
				return // the requestor had enough
			}
		}
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c) // until the requestor closes
	}()
	t.Cleanup(func() { <-over })
	return l.Addr().String()
}
