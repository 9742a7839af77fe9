package starttls_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/protocol/starttls"
)

// pair is a connection with its handshake behind it.
func pair(t testing.TB, f *folder) (*starttls.Conn, *tls.Conn) {
	t.Helper()
	server, client := sockets(t)
	return handshake(t, f, server, client)
}

func handshake(t testing.TB, f *folder, server, client net.Conn) (*starttls.Conn, *tls.Conn) {
	t.Helper()
	type result struct {
		conn *tls.Conn
		err  error
	}
	made := make(chan result, 1)
	go func() {
		c, err := f.client(nil).Handshake(t.Context(), client, "[::1]:547")
		made <- result{c, err}
	}()
	conn, err := f.load().Handshake(server, anybody)
	r := <-made
	if err != nil || r.err != nil {
		t.Fatal(err, r.err)
	}
	return conn, r.conn
}

// Wherever deadlines cut a writer short the reader gets the octets once and in order.
func TestWriteGoesOnAfterDeadlines(t *testing.T) {
	f := newFolder(t)
	rapid.Check(t, func(rt *rapid.T) {
		server, client := sockets(t)
		cut := &cutting{Conn: server}
		conn, other := handshake(t, f, cut, client)
		cut.after = rapid.SliceOfN(rapid.IntRange(0, 40_000), 1, 20).Draw(rt, "cut after")
		sent := make([]byte, rapid.IntRange(0, 300_000).Draw(rt, "octets"))
		for i := range sent {
			sent[i] = byte(i ^ i>>8 ^ i>>16)
		}
		sizes := rapid.SliceOfN(rapid.IntRange(1, 70_000), 1, 20).Draw(rt, "pieces")
		back := make(chan []byte, 1)
		go func() {
			b, err := io.ReadAll(other)
			if err != nil {
				t.Error(err)
			}
			back <- b
		}()
		write(t, conn, sent, sizes)
		for err := os.ErrDeadlineExceeded; err != nil; {
			if err = conn.CloseWrite(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
		}
		if got := <-back; !bytes.Equal(sent, got) {
			rt.Fatalf("%d octets came of %d, or others", len(got), len(sent))
		}
		_, _ = server.Close(), client.Close()
	})
}

// cutting lets a deadline pass within writes.
type cutting struct {
	net.Conn
	after []int
	turn  int
}

func (c *cutting) Write(p []byte) (int, error) {
	if len(c.after) == 0 {
		return c.Conn.Write(p)
	}
	c.turn++
	n := c.after[c.turn%len(c.after)] + c.turn%2 // some progress
	if n >= len(p) {
		return c.Conn.Write(p)
	}
	n, err := c.Conn.Write(p[:n])
	if err == nil {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

func (c *cutting) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

// write writes all of b, in pieces that grow while they wait.
func write(t *testing.T, conn *starttls.Conn, b []byte, sizes []int) {
	t.Helper()
	for sent, known, turn := 0, 0, 0; sent < len(b); turn++ {
		known = min(len(b), max(known, sent)+sizes[turn%len(sizes)])
		n, err := conn.Write(b[sent:known])
		if n > known-sent || n > 0 && err != nil {
			t.Fatalf("%d octets written of %d, %v", n, known-sent, err)
		}
		if sent += n; err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
}

// Reading goes on after a deadline, in the middle of a record too; the end without close_notify is told apart.
func TestRead(t *testing.T) {
	f := newFolder(t)
	t.Run("after a deadline within a record", func(t *testing.T) {
		server, client := sockets(t)
		half := &halving{Conn: client}
		conn, other := handshake(t, f, server, half)
		half.cut = true
		if _, err := other.Write([]byte("one record")); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		for range 3 {
			_ = server.SetReadDeadline(time.Now().Add(-time.Second))
			if n, err := conn.Read(b); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("%d, %v", n, err)
			}
		}
		if _, err := client.Write(half.kept); err != nil {
			t.Fatal(err)
		}
		_ = server.SetReadDeadline(time.Time{})
		if n, err := conn.Read(b); err != nil || string(b[:n]) != "one record" {
			t.Errorf("%q, %v", b[:n], err)
		}
	})
	for name, tc := range map[string]struct {
		end  func(*tls.Conn) error
		want error
	}{
		"close_notify":         {func(c *tls.Conn) error { return c.CloseWrite() }, io.EOF},
		"close_notify and FIN": {func(c *tls.Conn) error { return c.Close() }, io.EOF},
		"FIN":                  {func(c *tls.Conn) error { return c.NetConn().(*net.TCPConn).CloseWrite() }, starttls.ErrTruncated},
		"FIN in a record's midst": {func(c *tls.Conn) error {
			_, err := c.NetConn().Write([]byte{23, 3, 3, 0})
			_ = c.NetConn().(*net.TCPConn).CloseWrite()
			return err
		}, starttls.ErrTruncated},
		"no record": {func(c *tls.Conn) error { _, err := c.NetConn().Write([]byte("GET / HTTP/1.1")); return err }, starttls.ErrProtocol},
		"a record of another key": {func(c *tls.Conn) error {
			_, err := c.NetConn().Write(append([]byte{23, 3, 3, 0, 32}, make([]byte, 32)...))
			return err
		}, starttls.ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			conn, other := pair(t, f)
			if _, err := other.Write([]byte("before")); err != nil {
				t.Fatal(err)
			}
			if err := tc.end(other); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 6)
			if _, err := io.ReadFull(conn, b); err != nil || string(b) != "before" {
				t.Fatalf("%q, %v", b, err)
			}
			if n, err := conn.Read(b); n != 0 || !errors.Is(err, tc.want) {
				t.Errorf("%d, %v, want %v", n, err, tc.want)
			}
		})
	}
}

// halving keeps the second half of what is written, once it is told to.
type halving struct {
	net.Conn
	cut  bool
	kept []byte
}

func (h *halving) Write(p []byte) (int, error) {
	if !h.cut {
		return h.Conn.Write(p)
	}
	h.kept = append(h.kept, p[len(p)/2:]...)
	n, err := h.Conn.Write(p[:len(p)/2])
	return n + len(p) - len(p)/2, err
}

func BenchmarkConn(b *testing.B) {
	f := newFolder(b)
	for _, sealed := range []bool{false, true} {
		name := map[bool]string{false: "clear", true: "sealed"}[sealed]
		b.Run(name, func(b *testing.B) {
			server, client := sockets(b)
			var w io.Writer = server
			var r io.Reader = client
			if sealed {
				w, r = handshake(b, f, server, client)
			}
			drained := make(chan struct{})
			go func() {
				defer close(drained)
				_, _ = io.CopyBuffer(io.Discard, struct{ io.Reader }{r}, make([]byte, 64<<10)) // until the benchmark ends
			}()
			p := make([]byte, 32<<10)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				for n := 0; n < len(p); {
					m, err := w.Write(p[n:])
					if err != nil {
						b.Fatal(err)
					}
					n += m
				}
			}
			_, _ = server.Close(), client.Close()
			<-drained
		})
	}
}
