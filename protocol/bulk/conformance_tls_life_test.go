package bulk

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/leasehold/leasehold/protocol/starttls"
)

// hello is a connection that only takes what a client says first.
type hello struct {
	*io.PipeWriter
	net.Conn
}

func (h hello) Write(p []byte) (int, error)      { return h.PipeWriter.Write(p) }
func (h hello) Close() error                     { return h.PipeWriter.Close() }
func (h hello) Read([]byte) (int, error)         { return 0, io.EOF }
func (h hello) SetDeadline(time.Time) error      { return nil }
func (h hello) SetWriteDeadline(time.Time) error { return nil }

// tlsServer is a server that knows its requestors by the name "x.example".
func tlsServer(t testing.TB, w *world, config Config) (*served, *pki) {
	t.Helper()
	p := newPKI(t)
	config.TLS.Mode, config.TLS.Credentials = starttls.Required, p.creds
	return serve(t, w, config, byName("x.example")), p
}

// Rule 13: with TLS close_notify is the half-close. Everything asked before is answered whole, then the server says close_notify itself.
func TestRule13HalfCloseInTLS(t *testing.T) {
	for version := uint16(tls.VersionTLS12); version <= tls.VersionTLS13; version++ {
		s, p := tlsServer(t, many(t, 5000, 10), Config{})
		config := p.requestor(t, "x.example")
		config.MinVersion, config.MaxVersion = version, version
		w, c := dialTLS(t, s, config)
		w.send(lqMsg(1, lq(qLink, "2001:db8:ffff::1")), lqMsg(2, lq(qRelayID, "::", opt(optRelayID, []byte("relay-few")))))
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		count := map[byte]int{}
		for {
			b, err := w.frame()
			if errors.Is(err, io.EOF) {
				break // close_notify: crypto/tls tells the end of TCP alone apart, below
			}
			if err != nil {
				t.Fatal(err)
			}
			count[b[5]]++
		}
		if count[1] != 5001 || count[2] != 11 {
			t.Errorf("TLS %x: %v messages, want 5,001 and 11", version, count)
		}
		if n, err := w.TCPConn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("TLS %x: behind close_notify: %d octets, %v", version, n, err)
		}
	}
}

// close_notify is there: a connection whose last octets a man in the middle has cut off does not end like one that is over.
func TestRule13ServerSaysCloseNotify(t *testing.T) {
	s, p := tlsServer(t, house(t), Config{IdleTimeout: 50 * time.Millisecond})
	w := dialWire(t, s.addr)
	w.startTLS()
	tap := &tapped{Conn: w.TCPConn}
	config := p.requestor(t, "x.example")
	config.MaxVersion = tls.VersionTLS12 // whose alerts can be told apart from outside
	c := tls.Client(tap, config)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	tap.seen.Reset()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if b := tap.seen.Bytes(); len(b) == 0 || b[0] != 21 {
		t.Errorf("the last record is %x, want an alert", b)
	}
}

// tapped notes what comes.
type tapped struct {
	net.Conn
	seen bytes.Buffer
}

func (c *tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.seen.Write(p[:n])
	return n, err
}

// The end of TCP without close_notify is not a half-close: anybody between could have made it.
func TestRule13TruncatedTLS(t *testing.T) {
	s, p := tlsServer(t, house(t), Config{})
	w, _ := dialTLS(t, s, p.requestor(t, "x.example"))
	w.expectOpen()
	if err := w.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	w.expectEnd()
	await(t, "counted", func() bool { return s.metric(t, MetricClosed, string(endTruncated)) == 1 })
}

// Nonsense inside TLS, and where TLS records belong: the connection ends, and only that.
func TestRFC7653NonsenseAroundTLS(t *testing.T) {
	s, p := tlsServer(t, house(t), Config{})
	other, _ := dialTLS(t, s, p.requestor(t, "x.example"))
	t.Run("in place of the handshake", func(t *testing.T) {
		for _, nonsense := range [][]byte{{0}, make([]byte, 20_000), []byte("GET / HTTP/1.1\r\n\r\n"), lqMsg(1, lq(qLink, "2001:db8:2::")), {22, 3, 1, 0xff, 0xff}} {
			w := dialWire(t, s.addr)
			w.startTLS()
			w.send(nonsense)
			if err := w.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if rest, _ := io.ReadAll(w.in); len(rest) > 0 && rest[0] != 21 {
				t.Errorf("%x was answered by %x", nonsense[:1], rest)
			}
		}
	})
	t.Run("a certificate that does not end", func(t *testing.T) {
		w := dialWire(t, s.addr)
		w.startTLS()
		endless := cat([]byte{22, 3, 1, 0x40, 0}, []byte{1, 3, 0xff, 0xff}, make([]byte, 16380)) // a ClientHello of 256 KiB
		for range 4 {
			if _, err := w.Write(endless); err != nil {
				break // closed
			}
			endless = cat([]byte{22, 3, 1, 0x40, 0}, make([]byte, 16384))
		}
		_, _ = io.Copy(io.Discard, w.in)
	})
	t.Run("a record that was changed", func(t *testing.T) {
		w, _ := dialTLS(t, s, p.requestor(t, "x.example"))
		w.expectOpen()
		if _, err := w.Write(cat([]byte{23, 3, 3, 0, 64}, make([]byte, 64))); err != nil {
			t.Fatal(err)
		}
		if _, err := w.frame(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("ended by %v", err)
		}
		await(t, "counted", func() bool { return s.metric(t, MetricClosed, string(endTLS)) == 1 })
	})
	t.Run("a frame too short inside TLS", func(t *testing.T) {
		w, _ := dialTLS(t, s, p.requestor(t, "x.example"))
		w.send([]byte{0, 1, 0})
		w.expectEnd()
	})
	t.Run("in clear beside it", func(t *testing.T) {
		w, _ := dialTLS(t, s, p.requestor(t, "x.example"))
		if _, err := w.Write(lqMsg(1, lq(qLink, "2001:db8:2::"))); err != nil {
			t.Fatal(err)
		}
		if b, err := w.frame(); err == nil {
			t.Errorf("answered by %x", b)
		}
	})
	other.expectOpen()
	await(t, "all of them are gone", func() bool {
		return s.metric(t, MetricConnections, "") == 1 && s.metric(t, MetricStrangers, "") == 0
	})
}

// A certificate that changes counts from the next handshake on; connections that are there go on.
func TestRule19CertificatesAreReadAnew(t *testing.T) {
	s, p := tlsServer(t, many(t, 20_000, 10), Config{})
	old, c := dialTLS(t, s, p.requestor(t, "x.example"))
	first := c.ConnectionState().PeerCertificates[0].SerialNumber
	old.send(lqMsg(1, lq(qLink, "2001:db8:ffff::1"))) // more than the sockets hold: it runs on
	old.next()
	p.renew(t)
	if err := p.creds.Reload(); err != nil {
		t.Fatal(err)
	}
	w, c := dialTLS(t, s, p.requestor(t, "x.example"))
	w.expectOpen()
	if c.ConnectionState().PeerCertificates[0].SerialNumber.Cmp(first) == 0 {
		t.Error("the former certificate is shown")
	}
	t.Run("a file that makes no sense", func(t *testing.T) {
		p.write(t, p.files.Key, []byte("nonsense"))
		if err := p.creds.Reload(); err == nil {
			t.Fatal("no error")
		}
		w, _ := dialTLS(t, s, p.requestor(t, "x.example"))
		w.expectOpen()
	})
	t.Run("another authority of requestors", func(t *testing.T) {
		q := newPKI(t)
		p.renew(t)
		p.write(t, p.files.RequestorCA, q.pem.Certificate)
		if err := p.creds.Reload(); err != nil {
			t.Fatal(err)
		}
		w := dialWire(t, s.addr)
		w.startTLS()
		w.expectRefusedHandshake(p.requestor(t, "x.example"))
		config := q.requestor(t, "x.example")
		config.RootCAs = p.trusting().RootCAs
		w, _ = dialTLS(t, s, config)
		w.expectOpen()
	})
	messages := 1
	for {
		b := old.next()
		if messages++; b[2] == msgDone {
			break
		}
	}
	if messages != 20_001 {
		t.Errorf("%d messages on the connection that was there, want 20,001", messages)
	}
}

// Rule 14, in TLS: who reads nothing for BULK_LQ_DATA_TIMEOUT is closed, and everything is given back.
func TestRule14StalledReaderInTLS(t *testing.T) {
	s, p := tlsServer(t, large(t), Config{DataTimeout: 300 * time.Millisecond})
	w, _ := dialTLS(t, s, p.requestor(t, "x.example"))
	w.send(lqMsg(1, lq(qLink, "2001:db8:ffff::1")))
	await(t, "closed as stalled", func() bool { return s.metric(t, MetricClosed, string(endStalled)) == 1 })
	await(t, "given back", func() bool {
		return s.metric(t, MetricConnections, "") == 0 && s.metric(t, MetricRunning, "") == 0
	})
}

// A connection costs at most 256 KiB, whatever its requestor does: here it has sent the beginning of the longest message and reads nothing.
func TestRule14StalledReadersInTLSAreBounded(t *testing.T) {
	const conns = 40
	s, p := tlsServer(t, large(t), Config{MaxConnections: conns, MaxConnectionsPerRequestor: conns, MaxQueriesPerRequestor: conns, SendBuffer: 1 << 20})
	config := p.requestor(t, "x.example")
	half := msg(msgQuery, 2, opt(65000, make([]byte, 65000)))
	half = half[:len(half)-1]
	before := heap()
	kept := make([]*wire, conns)
	for i := range kept {
		kept[i], _ = dialTLS(t, s, config)
		kept[i].send(lqMsg(1, lq(qLink, "2001:db8:ffff::1")), half)
	}
	stalled := 0.0
	await(t, "nothing moves any more", func() bool {
		n := s.metric(t, MetricOctets, "")
		same := n == stalled && n > 0 && s.metric(t, MetricRunning, "") == conns
		stalled = n
		return same
	})
	// The requestors' side is in this process as well: two buffers of 32 KiB to read into, and TLS, which is left in.
	each := (heap()-before)/conns - 2*32<<10
	t.Logf("%d octets each, the requestor's TLS included; the kernel holds more", each)
	if each > 256<<10 {
		t.Errorf("%d octets a connection, want 262,144 at most", each)
	}
	runtime.KeepAlive(kept)
}

// heap is how many octets are in use.
func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// What is said inside TLS is what is said in clear, octet for octet.
func TestBulkInTLSEqualsClear(t *testing.T) {
	w := many(t, 20_000, 10)
	p := newPKI(t)
	s := serve(t, w, Config{TLS: TLS{Mode: starttls.Optional, Credentials: p.creds}}, byAddress())
	query := cat(lqMsg(1, lq(qRelayID, "::", opt(optRelayID, []byte("relay-all")), opt(optORO, u16(optRelayData)))), lqMsg(2, lq(qLink, "2001:db8:9999::")))
	read := func(in *wire, end func() error) []byte {
		in.send(query)
		if err := end(); err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(in.in)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	clear := dialWire(t, s.addr)
	want := read(clear, clear.CloseWrite)
	if len(want) < 4<<20 {
		t.Fatalf("only %d octets", len(want))
	}
	for version := uint16(tls.VersionTLS12); version <= tls.VersionTLS13; version++ {
		config := p.requestor(t, "x.example")
		config.MinVersion, config.MaxVersion = version, version
		sealed, c := dialTLS(t, s, config)
		if got := read(sealed, c.CloseWrite); !bytes.Equal(want, got) {
			t.Errorf("TLS %x: %d octets that differ from the %d in clear", version, len(got), len(want))
		}
	}
}
