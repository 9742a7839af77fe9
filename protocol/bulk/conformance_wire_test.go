package bulk

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/leasequery/leasequerytest"
)

// The tests write and expect octets by functions that know nothing of the project's codec: the RFCs' figures, in order.
var (
	cat       = leasequerytest.Cat
	u16       = leasequerytest.U16
	u32       = leasequerytest.U32
	opt       = leasequerytest.Opt
	addr      = leasequerytest.Addr
	iaAddr    = leasequerytest.IAAddr
	iaPrefix  = leasequerytest.IAPrefix
	lq        = leasequerytest.Query
	relayForw = leasequerytest.RelayForw
	leased    = leasequerytest.Leased
	delegated = leasequerytest.Delegated
)

// Message types, option codes, statuses and query types from the IANA registry.
const (
	msgReply, msgQuery                               = leasequerytest.MsgReply, leasequerytest.MsgLeasequery
	msgAnswer, msgDone, msgData                      = leasequerytest.MsgLeasequeryReply, leasequerytest.MsgLeasequeryDone, leasequerytest.MsgLeasequeryData
	msgActive, msgStartTLS                           = leasequerytest.MsgActiveLeasequery, leasequerytest.MsgStartTLS
	optClientID, optServerID, optIAAddr              = leasequerytest.OptClientID, leasequerytest.OptServerID, leasequerytest.OptIAAddr
	optIAPrefix, optORO, optRelayMsg                 = leasequerytest.OptIAPrefix, leasequerytest.OptORO, leasequerytest.OptRelayMsg
	optStatus, optInterfaceID, optRemoteID           = leasequerytest.OptStatus, leasequerytest.OptInterfaceID, leasequerytest.OptRemoteID
	optSubscriberID, optFQDN, optQuery               = leasequerytest.OptSubscriberID, leasequerytest.OptFQDN, leasequerytest.OptQuery
	optClientData, optCLT, optRelayData              = leasequerytest.OptClientData, leasequerytest.OptCLT, leasequerytest.OptRelayData
	optRelayID, optVSS, optLinkLayer                 = leasequerytest.OptRelayID, leasequerytest.OptVSS, leasequerytest.OptLinkLayer
	optBaseTime, optStartTime, optEndTime            = leasequerytest.OptBaseTime, leasequerytest.OptStartTime, leasequerytest.OptEndTime
	stUnknownQueryType, stMalformed, stNotConfigured = leasequerytest.StatusUnknownQueryType, leasequerytest.StatusMalformed, leasequerytest.StatusNotConfigured
	stNotAllowed, stTerminated, stNotSupported       = leasequerytest.StatusNotAllowed, leasequerytest.StatusTerminated, leasequerytest.StatusNotSupported
	stDataMissing, stCatchUpComplete, stTLSRefused   = leasequerytest.StatusDataMissing, leasequerytest.StatusCatchUpComplete, leasequerytest.StatusTLSRefused
	qAddress, qClientID, qRelayID                    = leasequerytest.QueryByAddress, leasequerytest.QueryByClientID, leasequerytest.QueryByRelayID
	qLink, qRemoteID                                 = leasequerytest.QueryByLink, leasequerytest.QueryByRemoteID
)

// msg is a message in its frame: size, type, transaction-id, options.
func msg(kind, id int, options ...[]byte) []byte {
	body := cat([]byte{byte(kind), byte(id >> 16), byte(id >> 8), byte(id)}, cat(options...))
	return cat(u16(len(body)), body)
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

// wire is a requestor's socket.
type wire struct {
	t *testing.T
	*net.TCPConn
	in  *bufio.Reader // reads must come from here
	out io.Writer     // and writes go here: the socket, or TLS over it
}

func dialWire(t *testing.T, l net.Addr) *wire {
	t.Helper()
	c := dialDeadline(t, l)
	return &wire{t: t, TCPConn: c, in: bufio.NewReaderSize(c, 32<<10), out: c}
}

// dialDeadline is a connection that the end of the test closes. A test that waits for octets that never come fails before the whole run
// times out.
func dialDeadline(t testing.TB, server net.Addr) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", server.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // closed before by many tests
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
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
