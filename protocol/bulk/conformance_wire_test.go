package bulk

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The conformance tests write and expect octets by the few functions below, which know nothing of the project's codec: the RFCs'
// figures, in order.

// Message types and option codes, from the IANA registry.
const (
	msgReply, msgRelayForw, msgQuery, msgAnswer, msgDone, msgData, msgActive, msgStartTLS = 7, 12, 14, 15, 16, 17, 22, 23

	optClientID, optServerID, optIAAddr, optORO, optRelayMsg, optStatus, optInterfaceID, optIAPrefix = 1, 2, 5, 6, 9, 13, 18, 26
	optRemoteID, optFQDN, optQuery, optClientData, optCLT, optRelayData, optRelayID, optVSS          = 37, 39, 44, 45, 46, 47, 53, 68
	optBaseTime, optStartTime, optEndTime                                                            = 100, 101, 102
)

const (
	stUnknownQueryType, stMalformed, stNotConfigured, stNotAllowed, stTerminated, stNotSupported, stTLSRefused = 7, 8, 9, 10, 11, 14, 15
	qAddress, qClientID, qRelayID, qLink, qRemoteID                                                            = 1, 2, 3, 4, 5
)

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
func u16(n int) []byte           { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
func u32(n uint32) []byte        { return binary.BigEndian.AppendUint32(nil, n) }

// opt is an option: code, length, value.
func opt(code int, value ...[]byte) []byte {
	v := cat(value...)
	return cat(u16(code), u16(len(v)), v)
}

// msg is a message in its frame: size, type, transaction-id, options.
func msg(kind, id int, options ...[]byte) []byte {
	body := cat([]byte{byte(kind), byte(id >> 16), byte(id >> 8), byte(id)}, cat(options...))
	return cat(u16(len(body)), body)
}

func addr(s string) []byte {
	a := netip.MustParseAddr(s).As16()
	return a[:]
}

func iaAddr(s string, preferred, valid uint32) []byte {
	return opt(optIAAddr, addr(s), u32(preferred), u32(valid))
}

func iaPrefix(s string, preferred, valid uint32) []byte {
	p := netip.MustParsePrefix(s)
	return opt(optIAPrefix, u32(preferred), u32(valid), []byte{byte(p.Bits())}, addr(p.Addr().String()))
}

// lq is an OPTION_LQ_QUERY.
func lq(kind int, link string, options ...[]byte) []byte {
	return opt(optQuery, []byte{byte(kind)}, addr(link), cat(options...))
}

// requestorID is the client-id that the tests ask with; clusterID the server-id that they expect.
var (
	requestorID = []byte{0, 3, 0, 1, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0x01}
	clusterID   = []byte{0, 2, 0, 0, 0x7e, 0xd9, 1, 2, 3, 4}
)

// lqMsg is a LEASEQUERY with a client-id; answerOK, answerData and done are what comes back.
func lqMsg(id int, options ...[]byte) []byte {
	return msg(msgQuery, id, opt(optClientID, requestorID), cat(options...))
}

func answerOK(id int, options ...[]byte) []byte {
	return msg(msgAnswer, id, opt(optClientID, requestorID), opt(optServerID, clusterID), cat(options...))
}

func done(id int) []byte { return msg(msgDone, id) }

// relayForw is a RELAY-FORW message.
func relayForw(hops int, link, peer string, options ...[]byte) []byte {
	return cat([]byte{msgRelayForw, byte(hops)}, addr(link), addr(peer), cat(options...))
}

// wire is a requestor's socket.
type wire struct {
	t *testing.T
	*net.TCPConn
	in  *bufio.Reader // reads must come from here
	out io.Writer     // and writes go here: the socket, or TLS over it
}

func dialWire(t *testing.T, l net.Addr) *wire {
	t.Helper()
	c, err := net.Dial("tcp", l.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // closed before by many tests
	// A test that waits for octets that never come fails before the whole run times out.
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &wire{t: t, TCPConn: c.(*net.TCPConn), in: bufio.NewReaderSize(c, 32<<10), out: c}
}

func (w *wire) send(b ...[]byte) {
	w.t.Helper()
	if _, err := w.out.Write(cat(b...)); err != nil {
		w.t.Fatalf("send: %v", err)
	}
}

// next is the next frame, size included.
func (w *wire) next() []byte {
	w.t.Helper()
	b, err := w.frame()
	if err != nil {
		w.t.Fatalf("read: %v", err)
	}
	return b
}

// frame is the next frame, or how the connection ended.
func (w *wire) frame() ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(w.in, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, 2+int(binary.BigEndian.Uint16(size[:])))
	copy(b, size[:])
	_, err := io.ReadFull(w.in, b[2:])
	return b, err
}

// expect compares the next frames, octet by octet.
func (w *wire) expect(frames ...[]byte) {
	w.t.Helper()
	for n, want := range frames {
		if got := w.next(); !bytes.Equal(want, got) {
			w.t.Fatalf("frame %d (-want +got):\n%s", n, cmp.Diff(dump(want), dump(got)))
		}
	}
}

// expectStatus is for error replies, whose text is the server's own: everything but the text is compared, and the text must
// be there.
func (w *wire) expectStatus(kind, id, status int) {
	w.t.Helper()
	got := w.next()
	head := msg(kind, id)[2:]
	switch kind {
	case msgAnswer:
		head = answerOK(id)[2:]
	case msgReply:
		head = msg(kind, id, opt(optServerID, clusterID))[2:]
	}
	rest, ok := bytes.CutPrefix(got[2:], head)
	if !ok || len(rest) < 7 || !bytes.Equal(rest[:2], u16(optStatus)) || !bytes.Equal(rest[2:4], u16(len(rest)-4)) ||
		!bytes.Equal(rest[4:6], u16(status)) {
		w.t.Fatalf("want status %d behind %x, got\n%s", status, head, hex.Dump(got))
	}
}

// expectEnd wants the connection to end with nothing more said.
func (w *wire) expectEnd() {
	w.t.Helper()
	rest, err := io.ReadAll(w.in)
	if len(rest) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		w.t.Fatalf("want the end, got %x, %v", rest, err)
	}
}

// expectOpen shows that the connection still answers, and that nothing else was said before.
func (w *wire) expectOpen() {
	w.t.Helper()
	w.send(lqMsg(0xfffffe, lq(qClientID, "::", opt(optClientID, []byte{0, 9, 9}))))
	w.expect(answerOK(0xfffffe))
}

// dump shows a frame for a diff.
func dump(b []byte) string { return hex.Dump(b) }
