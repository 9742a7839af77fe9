package bulk

import (
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

// BenchmarkStream is what the connection machinery itself can carry: messages of 170 octets that cost nothing to make.
func BenchmarkStream(b *testing.B) {
	f := newFixture(b, Config{MaxViewAge: 1 << 40}, &script{size: 170})
	l := listen(b)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { f.ran <- f.Run(ctx, l) }()
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
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
