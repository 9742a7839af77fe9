package bulk

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
)

// listen is a loopback listener that the server under test closes.
func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// dialRaw is a connection that has no deadline.
func dialRaw(b *testing.B, s *served) net.Conn {
	b.Helper()
	c, err := net.Dial("tcp", s.addr.String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() }) // the benchmark is over
	return c
}

// readWhole asks for everything and reads it all.
func readWhole(b *testing.B, c net.Conn, buf []byte) (octets int) {
	b.Helper()
	send(b, c, lqMsg(1, lq(qLink, "2001:db8:ffff::1")))
	for last := []byte(nil); !bytes.HasSuffix(last, done(1)); {
		n, err := c.Read(buf)
		if err != nil {
			b.Fatal(err)
		}
		octets += n
		last = append(last[max(0, len(last)-len(done(1))):], buf[max(0, n-len(done(1))):n]...)
	}
	return octets
}

// BenchmarkBulk is a whole bulk answer from the real store: clients of one address and one delegated prefix each.
func BenchmarkBulk(b *testing.B) {
	const clients = 200_000
	s := serve(b, many(b, clients, 10), Config{})
	c, buf := dialRaw(b, s), make([]byte, 256<<10)
	b.ReportAllocs()
	for b.Loop() {
		b.SetBytes(int64(readWhole(b, c, buf)))
	}
	b.ReportMetric(2*clients*float64(b.N)/b.Elapsed().Seconds(), "bindings/s")
}

// BenchmarkOneLease is a query for one client on a connection that is open.
func BenchmarkOneLease(b *testing.B) {
	s := serve(b, many(b, 1000, 10), Config{})
	c := dialRaw(b, s)
	want := len(answerOK(1, client("client\x00\x00\x00\x00", 100, leased("2001:db8:1::1"), delegated("2001:db8:8000::/60")))) + len(done(1))
	buf := make([]byte, want)
	for b.Loop() {
		send(b, c, lqMsg(1, lq(qAddress, "::", iaAddr("2001:db8:1::1", 0, 0))))
		if _, err := io.ReadFull(c, buf); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStream is what the connection machinery itself can carry: messages of 170 octets that cost nothing to make.
func BenchmarkStream(b *testing.B) {
	f := newFixture(b, Config{MaxViewAge: 1 << 40}, &script{size: 170})
	l := listen(b)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { f.ran <- f.Run(ctx, l) }()
	f.cancel = cancel
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(172)
	send(b, c, ask(1, b.N))
	if _, err := io.CopyBuffer(io.Discard, io.LimitReader(struct{ io.Reader }{c}, int64(b.N)*172+6), make([]byte, 256<<10)); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	if err := c.Close(); err != nil {
		b.Error(err)
	}
	f.stop(b)
}
