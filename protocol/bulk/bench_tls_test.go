package bulk

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/leasehold/leasehold/protocol/starttls"
)

// BenchmarkBulkTLS is the whole bulk answer of BenchmarkBulk inside TLS 1.3, each beside one in clear of the same server: their rates and
// the ratio are of the same run. Both ends are in this process, so that a requestor's opening counts as well.
func BenchmarkBulkTLS(b *testing.B) {
	p := newPKI(b)
	s := serve(b, many(b, 200_000, 10), Config{TLS: TLS{Mode: starttls.Optional, Credentials: p.creds}}, byAddress())
	clear, sealed := dialRaw(b, s), sealedRaw(b, dialRaw(b, s), p.requestor(b, "x.example"))
	buf := make([]byte, 256<<10)
	var took [2]time.Duration
	octets := 0
	for b.Loop() {
		for i, c := range []net.Conn{clear, sealed} {
			begin := time.Now()
			octets = readWhole(b, c, buf)
			took[i] += time.Since(begin)
		}
	}
	mb := float64(b.N) * float64(octets) / 1e6
	b.ReportMetric(mb/took[0].Seconds(), "clear-MB/s")
	b.ReportMetric(mb/took[1].Seconds(), "TLS-MB/s")
	b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "TLS/clear")
}

// sealedRaw is c inside TLS.
func sealedRaw(b testing.TB, c net.Conn, config *tls.Config) *tls.Conn {
	b.Helper()
	send(b, c, msg(msgStartTLS, 9))
	if _, err := io.ReadFull(c, make([]byte, len(msg(msgReply, 9, opt(optServerID, clusterID))))); err != nil {
		b.Fatal(err)
	}
	return tls.Client(c, config)
}

// BenchmarkHandshake is STARTTLS with both certificates and one small answer, then the end.
func BenchmarkHandshake(b *testing.B) {
	p := newPKI(b)
	s := serve(b, house(b), Config{MaxConnections: 100, MaxConnectionsPerRequestor: 100, TLS: TLS{Mode: starttls.Required, Credentials: p.creds}}, byAddress())
	config := p.requestor(b, "x.example")
	want := make([]byte, len(answerOK(1, clientAOn2))+len(done(1)))
	for b.Loop() {
		raw, err := net.Dial("tcp", s.addr.String())
		if err != nil {
			b.Fatal(err)
		}
		c := sealedRaw(b, raw, config)
		send(b, c, lqMsg(1, lq(qLink, "2001:db8:2::")))
		if _, err := io.ReadFull(c, want); err != nil {
			b.Fatal(err)
		}
		_ = c.Close() // asked and answered
	}
}
