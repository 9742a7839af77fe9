package bulk

import (
	"bytes"
	"errors"
	"io"
	"syscall"
	"testing"

	"github.com/leasehold/leasehold/protocol/starttls"
)

// tlsForFuzz is a server that wants TLS, of requestors that only a name leads to.
func tlsForFuzz(f *testing.F) (*served, *pki) {
	p := newPKI(f)
	return serve(f, house(f), Config{MaxConnections: 1000, MaxConnectionsPerRequestor: 1000, TLS: TLS{
		Mode: starttls.Required, Credentials: p.creds, MaxStrangers: 1000,
	}}, byName("x.example")), p
}

// FuzzBeforeTLS sends octets in clear: as the first ones, and where the handshake belongs. Nothing of them is ever answered but STARTTLS,
// and then by TLS records alone.
func FuzzBeforeTLS(f *testing.F) {
	s, p := tlsForFuzz(f)
	start := msg(msgStartTLS, 9)
	hello := clientHello(f, p)
	for _, b := range [][]byte{nil, lqMsg(1, lq(qLink, "2001:db8:2::")), hello, hello[:20], cat(hello, hello), {22, 3, 1, 0, 0}, {23, 3, 3, 0, 1, 0}, {21, 3, 3, 0, 2, 1, 0}} {
		f.Add(b, false)
		f.Add(b, true)
		f.Add(cat(start, b), false)
	}
	f.Fuzz(func(t *testing.T, input []byte, asked bool) {
		c := dialDeadline(t, s.addr)
		reply := msg(msgReply, 9, opt(optServerID, clusterID))
		if asked {
			send(t, c, start)
			if _, err := io.ReadFull(c, make([]byte, len(reply))); err != nil {
				t.Fatal(err)
			}
		}
		go func() { // a server that has had enough may close first
			_, _ = c.Write(input)
			_ = c.CloseWrite()
		}()
		said, err := io.ReadAll(c)
		if err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatal(err)
		}
		if !asked && len(input) >= 6 && input[2] == msgStartTLS { // perhaps with options, and perhaps nothing behind it
			id := int(input[3])<<16 | int(input[4])<<8 | int(input[5])
			if rest, ok := bytes.CutPrefix(said, msg(msgReply, id, opt(optServerID, clusterID))); ok {
				said = rest
			} else if len(said) > 6 && said[2] == msgReply {
				return // a client-id was copied
			}
		}
		if len(said) > 0 && said[0] != 21 && said[0] != 22 { // alert, handshake
			t.Fatalf("said in clear: %x", said)
		}
	})
}

// FuzzInsideTLS is FuzzServer inside TLS.
func FuzzInsideTLS(f *testing.F) {
	s, p := tlsForFuzz(f)
	config := p.requestor(f, "x.example")
	for _, b := range [][]byte{
		lqMsg(1, lq(qLink, "2001:db8:2::")), cat(lqMsg(1, lq(qLink, "2001:db8:2::")), msg(msgStartTLS, 2)), msg(msgStartTLS, 2), {0, 3, 1, 2, 3}, {0, 1},
		cat(lqMsg(1, lq(9, "::")), msg(200, 2), lqMsg(3, lq(qLink, "2001:db8:1::"))),
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		c := sealedRaw(t, dialDeadline(t, s.addr), config)
		go func() { // a server that has had enough may close first
			_, _ = c.Write(input)
			_ = c.CloseWrite()
		}()
		checkAnswers(t, c)
	})
}
