package bulk

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/leasehold/leasehold/protocol/starttls/authority"
)

// startTLSFor accepts one connection of a program that cannot say STARTTLS, says it to the server, and passes octets on.
func startTLSFor(t *testing.T, s *served) net.Addr {
	t.Helper()
	l := listen(t)
	w := dialWire(t, s.addr)
	w.startTLS()
	var passing sync.WaitGroup
	passing.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return // the program never came
		}
		passing.Go(func() {
			_, _ = io.Copy(w.TCPConn, c) // whichever side ends first ends both
			_ = w.CloseWrite()
		})
		_, _ = io.Copy(c, w.in)
		_ = c.Close()
	})
	t.Cleanup(func() {
		_, _ = l.Close(), w.Close()
		passing.Wait()
	})
	return l.Addr()
}

// OpenSSL as a requestor's TLS: both versions, and with 1.3 a change of keys that the server has to follow and to answer in kind.
func TestRFC9325OpenSSLAgrees(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	s, p := tlsServer(t, many(t, 5000, 10), Config{})
	dir := t.TempDir()
	pair := p.pair(t, p.ca, authority.Order{Usage: authority.Requestor, Names: []string{"x.example"}, Valid: 1 << 40})
	cert, key, ca := filepath.Join(dir, "cert"), filepath.Join(dir, "key"), filepath.Join(dir, "ca")
	p.write(t, cert, pair.Certificate)
	p.write(t, key, pair.Key)
	p.write(t, ca, p.pem.Certificate)
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		t.Run(version[1:], func(t *testing.T) {
			c := exec.CommandContext(t.Context(), openssl, "s_client", version, "-connect", startTLSFor(t, s).String(), "-cert", cert, "-key", key, "-CAfile", ca,
				"-verify_ip", "::1", "-verify_return_error")
			in, err := c.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, its, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			c.Stdout, c.Stderr = its, its
			err = c.Start()
			_ = its.Close() // the program has its own
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = c.Process.Kill() // which is how it ends when the test is over
				_ = c.Wait()
			})
			r := program{t: t, out: out}
			ask := func(id int) {
				if _, err := in.Write(lqMsg(id, lq(qRelayID, "::", opt(optRelayID, []byte("relay-all"))))); err != nil {
					t.Fatal(err)
				}
				r.until(done(id))
			}
			ask(1)
			if version == "-tls1_3" {
				if _, err := in.Write([]byte("K\n")); err != nil { // KeyUpdate, and the server is to do the same
					t.Fatal(err)
				}
				r.until([]byte("KEYUPDATE\n"))
			}
			ask(2)
			if n := bytes.Count(r.seen, []byte("client\x00")); n != 2*4990 {
				t.Errorf("%d clients, want 9,980", n)
			}
		})
	}
}

// program is what a program says.
type program struct {
	t    *testing.T
	out  io.Reader
	seen []byte
}

// until reads until something has come; want may stand anywhere behind what was wanted before.
func (p *program) until(want []byte) {
	p.t.Helper()
	from := len(p.seen)
	b := make([]byte, 64<<10)
	for !bytes.Contains(p.seen[max(0, from-len(want)):], want) {
		n, err := p.out.Read(b)
		p.seen = append(p.seen, b[:n]...)
		if err != nil {
			p.t.Fatalf("%v, waiting for %x behind %.2000q", err, want, p.seen)
		}
		from = max(from, len(p.seen)-n-len(want))
	}
}
