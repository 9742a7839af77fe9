package udp

import (
	"bytes"
	"encoding/hex"
	"net"
	"net/netip"
	"strconv"
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
	codes     = leasequerytest.Codes
	addr      = leasequerytest.Addr
	iaAddr    = leasequerytest.IAAddr
	lq        = leasequerytest.Query
	client    = leasequerytest.ClientData
	leased    = leasequerytest.Leased
	delegated = leasequerytest.Delegated
)

// Message types, option codes, statuses and query types from the IANA registry.
const (
	msgRelayForw, msgRelayRepl, msgQuery          = leasequerytest.MsgRelayForw, leasequerytest.MsgRelayRepl, leasequerytest.MsgLeasequery
	msgAnswer, msgDone, msgData                   = leasequerytest.MsgLeasequeryReply, leasequerytest.MsgLeasequeryDone, leasequerytest.MsgLeasequeryData
	msgActive                                     = leasequerytest.MsgActiveLeasequery
	optClientID, optServerID, optIAAddr           = leasequerytest.OptClientID, leasequerytest.OptServerID, leasequerytest.OptIAAddr
	optIAPrefix, optORO, optRelayMsg              = leasequerytest.OptIAPrefix, leasequerytest.OptORO, leasequerytest.OptRelayMsg
	optStatus, optInterfaceID, optRemoteID        = leasequerytest.OptStatus, leasequerytest.OptInterfaceID, leasequerytest.OptRemoteID
	optSubscriberID, optFQDN, optERO              = leasequerytest.OptSubscriberID, leasequerytest.OptFQDN, leasequerytest.OptERO
	optQuery, optClientData, optCLT               = leasequerytest.OptQuery, leasequerytest.OptClientData, leasequerytest.OptCLT
	optRelayData, optClientLink, optRelayID       = leasequerytest.OptRelayData, leasequerytest.OptClientLink, leasequerytest.OptRelayID
	optVSS, optLinkLayer, optBaseTime             = leasequerytest.OptVSS, leasequerytest.OptLinkLayer, leasequerytest.OptBaseTime
	optStartTime, optEndTime, optRelayPort        = leasequerytest.OptStartTime, leasequerytest.OptEndTime, leasequerytest.OptRelayPort
	stUnspecFail, stUnknownQueryType, stMalformed = leasequerytest.StatusUnspecFail, leasequerytest.StatusUnknownQueryType, leasequerytest.StatusMalformed
	stNotConfigured, stNotAllowed                 = leasequerytest.StatusNotConfigured, leasequerytest.StatusNotAllowed
	qAddress, qClientID, qRelayID                 = leasequerytest.QueryByAddress, leasequerytest.QueryByClientID, leasequerytest.QueryByRelayID
	qLink, qRemoteID                              = leasequerytest.QueryByLink, leasequerytest.QueryByRemoteID
)

// msg is a message: type, transaction-id, options.
func msg(kind, id int, options ...[]byte) []byte {
	return cat([]byte{byte(kind), byte(id >> 16), byte(id >> 8), byte(id)}, cat(options...))
}

// The two queries that UDP has.
func byAddress(link, address string, options ...[]byte) []byte {
	return lq(qAddress, link, iaAddr(address, 0, 0), cat(options...))
}

func byClientID(link, duid string, options ...[]byte) []byte {
	return lq(qClientID, link, opt(optClientID, []byte(duid)), cat(options...))
}

// requestorID is the client-id that the tests ask with; clusterID the server-id that they expect.
var (
	requestorID = []byte{0, 3, 0, 1, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0x01}
	clusterID   = []byte{0, 2, 0, 0, 0x7e, 0xd9, 1, 2, 3, 4}
)

// ask is a LEASEQUERY with a client-id; answer and refusal are what comes back.
func ask(id int, options ...[]byte) []byte {
	return msg(msgQuery, id, opt(optClientID, requestorID), cat(options...))
}

func answer(id int, options ...[]byte) []byte {
	return msg(msgAnswer, id, opt(optClientID, requestorID), opt(optServerID, clusterID), cat(options...))
}

func refusal(id, status int, text string) []byte {
	return answer(id, opt(optStatus, u16(status), []byte(text)))
}

// relayed is a message of a relay around a message.
func relayed(kind, hops int, link, peer string, inner []byte, options ...[]byte) []byte {
	return cat([]byte{byte(kind), byte(hops)}, addr(link), addr(peer), cat(options...), opt(optRelayMsg, inner))
}

// wire is a requestor's socket.
type wire struct {
	t  testing.TB
	c  *net.UDPConn
	to netip.AddrPort
}

// newWire is a socket that sends to one address and reads from anybody; at is where it is bound.
func newWire(t testing.TB, at string, to netip.AddrPort) *wire {
	t.Helper()
	c, err := net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(at)))
	if err != nil {
		t.Fatal(err)
	}
	return asWire(t, c, to)
}

func asWire(t testing.TB, c *net.UDPConn, to netip.AddrPort) *wire {
	t.Helper()
	t.Cleanup(func() { _ = c.Close() }) // closed before by some tests
	// A test that waits for what never comes fails before the whole run times out.
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &wire{t: t, c: c, to: to}
}

func (w *wire) send(b []byte) {
	w.t.Helper()
	if _, err := w.c.WriteToUDPAddrPort(b, w.to); err != nil {
		w.t.Fatalf("send %d octets: %v", len(b), err)
	}
}

// next is the next datagram and who sent it.
func (w *wire) next() ([]byte, netip.AddrPort) {
	w.t.Helper()
	b := make([]byte, 65536)
	n, from, err := w.c.ReadFromUDPAddrPort(b)
	if err != nil {
		w.t.Fatalf("read: %v", err)
	}
	return b[:n], from
}

// expect compares the next datagrams, octet by octet; they must come from where was asked.
func (w *wire) expect(want ...[]byte) {
	w.t.Helper()
	for n, want := range want {
		got, from := w.next()
		if !bytes.Equal(want, got) {
			w.t.Fatalf("answer %d (-want +got):\n%s", n, cmp.Diff(hex.Dump(want), hex.Dump(got)))
		}
		if from != w.to {
			w.t.Errorf("answer %d came from %v, asked was %v", n, from, w.to)
		}
	}
}

// exchange sends a query and compares its answer.
func (w *wire) exchange(query, want []byte) {
	w.t.Helper()
	w.send(query)
	w.expect(want)
}

// probe is a query with its answer: behind one that gets none it shows that none came. Nobody has the client-id.
var probe = struct{ query, answer []byte }{ask(0xfffffe, byClientID("::", "\x00\x09nobody")), answer(0xfffffe)}

// silent sends datagrams that get no answer.
func (w *wire) silent(queries ...[]byte) {
	w.t.Helper()
	for _, q := range queries {
		w.send(q)
	}
	w.exchange(probe.query, probe.answer)
}

func itoa(n int) string { return strconv.Itoa(n) }
func hex4(n int) string { return strconv.FormatInt(int64(n), 16) }
