package udp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The tests write and expect octets by the few functions below, which know nothing of the project's codec: the RFCs' figures, in
// order.

// Message types and option codes, from the IANA registry.
const (
	msgRelayForw, msgRelayRepl, msgQuery, msgAnswer, msgDone, msgData, msgActive = 12, 13, 14, 15, 16, 17, 22

	optClientID, optServerID, optIAAddr, optORO, optRelayMsg, optStatus, optInterfaceID, optIAPrefix = 1, 2, 5, 6, 9, 13, 18, 26
	optRemoteID, optSubscriberID, optFQDN, optERO, optQuery, optClientData, optCLT, optRelayData     = 37, 38, 39, 43, 44, 45, 46, 47
	optClientLink, optRelayID, optVSS, optLinkLayer, optBaseTime, optStartTime, optEndTime           = 48, 53, 68, 79, 100, 101, 102
	optRelayPort                                                                                     = 135

	stUnspecFail, stUnknownQueryType, stMalformed, stNotConfigured, stNotAllowed = 1, 7, 8, 9, 10
	qAddress, qClientID, qRelayID, qLink, qRemoteID                              = 1, 2, 3, 4, 5
)

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
func u16(n int) []byte           { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
func u32(n uint32) []byte        { return binary.BigEndian.AppendUint32(nil, n) }

// opt is an option: code, length, value.
func opt(code int, value ...[]byte) []byte {
	v := cat(value...)
	return cat(u16(code), u16(len(v)), v)
}

// codes is the value of an option that lists options.
func codes(list ...int) []byte {
	var v []byte
	for _, c := range list {
		v = append(v, u16(c)...)
	}
	return v
}

// msg is a message: type, transaction-id, options.
func msg(kind, id int, options ...[]byte) []byte {
	return cat([]byte{byte(kind), byte(id >> 16), byte(id >> 8), byte(id)}, cat(options...))
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

// client is the OPTION_CLIENT_DATA of a client that spoke so many seconds ago: CLIENTID, bindings, CLT_TIME, the rest.
func client(duid string, ago uint32, bindings []byte, rest ...[]byte) []byte {
	return opt(optClientData, opt(optClientID, []byte(duid)), bindings, opt(optCLT, u32(ago)), cat(rest...))
}

// leased and delegated are bindings as lease makes them, 100 seconds later.
func leased(a string) []byte    { return iaAddr(a, 3500, 7100) }
func delegated(p string) []byte { return iaPrefix(p, 3500, 7100) }

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
