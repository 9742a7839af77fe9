package leasequery_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/leasequery/leasequerytest"
)

// The tests write queries and expect answers octet by octet with the functions below, which know nothing of the project's codec:
// the figures of the RFCs, in order.

// Message types, option codes, statuses and query types from the IANA registry.
const (
	msgRelayForw, msgQuery, msgReply, msgDone, msgData, msgActive, msgStartTLS = 12, 14, 15, 16, 17, 22, 23

	optClientID, optServerID, optIAAddr, optORO, optRelayMsg, optStatus, optInterfaceID, optIAPrefix = 1, 2, 5, 6, 9, 13, 18, 26
	optRemoteID, optSubscriberID, optFQDN, optQuery, optClientData, optCLT, optRelayData             = 37, 38, 39, 44, 45, 46, 47
	optClientLink, optRelayID, optVSS, optLinkLayer, optBaseTime, optStartTime, optEndTime           = 48, 53, 68, 79, 100, 101, 102

	unspecFail, unknownQueryType, malformed, notConfigured, notAllowed, terminated, notSupported = 1, 7, 8, 9, 10, 11, 14

	byAddress, byClientID, byRelayID, byLink, byRemoteID = 1, 2, 3, 4, 5
)

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
func u16(n int) []byte           { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
func u32(n uint32) []byte        { return binary.BigEndian.AppendUint32(nil, n) }

// opt is an option: code, length, value.
func opt(code int, value ...[]byte) []byte {
	v := cat(value...)
	return cat(u16(code), u16(len(v)), v)
}

// oro is an option request option.
func oro(codes ...int) []byte {
	var v []byte
	for _, c := range codes {
		v = append(v, u16(c)...)
	}
	return opt(optORO, v)
}

// msg is a message: type, transaction-id, options.
func msg(kind int, options ...[]byte) []byte {
	return cat([]byte{byte(kind), 0xab, 0xcd, 0xef}, cat(options...))
}

func ip(s string) []byte {
	a := netip.MustParseAddr(s).As16()
	return a[:]
}

func iaAddr(s string, preferred, valid uint32) []byte {
	return opt(optIAAddr, ip(s), u32(preferred), u32(valid))
}

func iaPrefix(s string, preferred, valid uint32) []byte {
	p := netip.MustParsePrefix(s)
	return opt(optIAPrefix, u32(preferred), u32(valid), []byte{byte(p.Bits())}, ip(p.Addr().String()))
}

// lq is an OPTION_LQ_QUERY.
func lq(kind int, link string, options ...[]byte) []byte {
	return opt(optQuery, []byte{byte(kind)}, ip(link), cat(options...))
}

// The four queries that are about something, and the one that is about a link.
func addressQuery(link, address string, options ...[]byte) []byte {
	return query(lq(byAddress, link, cat(options...), iaAddr(address, 0, 0)))
}

func clientQuery(link, duid string, options ...[]byte) []byte {
	return query(lq(byClientID, link, opt(optClientID, []byte(duid)), cat(options...)))
}

func relayQuery(link, id string, options ...[]byte) []byte {
	return query(lq(byRelayID, link, opt(optRelayID, []byte(id)), cat(options...)))
}

func linkQuery(link string, options ...[]byte) []byte {
	return query(lq(byLink, link, cat(options...)))
}

func remoteQuery(link string, id []byte, options ...[]byte) []byte {
	return query(lq(byRemoteID, link, opt(optRemoteID, id), cat(options...)))
}

// requestorID is the client-id that the tests ask with, serverID the server-id that they expect.
var (
	requestorID = []byte{0, 3, 0, 1, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0x01}
	serverID    = []byte{0, 2, 0, 0, 0x7e, 0xd9, 1}
)

// query is a LEASEQUERY with a client-id; reply, data and done are what comes back.
func query(options ...[]byte) []byte {
	return msg(msgQuery, opt(optClientID, requestorID), cat(options...))
}

func reply(options ...[]byte) []byte {
	return msg(msgReply, opt(optClientID, requestorID), opt(optServerID, serverID), cat(options...))
}

func data(options ...[]byte) []byte { return msg(msgData, options...) }
func done() []byte                  { return msg(msgDone) }

// clientData is an OPTION_CLIENT_DATA of a client that spoke so many seconds ago: CLIENTID, bindings, CLT_TIME, the rest.
func clientData(duid string, ago uint32, bindings []byte, rest ...[]byte) []byte {
	return opt(optClientData, opt(optClientID, []byte(duid)), bindings, opt(optCLT, u32(ago)), cat(rest...))
}

// failure is a LEASEQUERY-REPLY with a status.
func failure(status int, text string) []byte { return reply(opt(optStatus, u16(status), []byte(text))) }

// now is cluster time: 2026-03-01T12:00:00.5Z; nowBase is the same as OPTION_LQ_BASE_TIME.
const (
	now     binding.Time = 1772366400500
	nowBase              = 1772366400 - 946684800
)

// relayAddr is where the tests ask from.
var relayAddr = netip.MustParseAddrPort("[2001:db8:ffff::1]:1024")

// lease is a binding of 3,600 seconds preferred and 7,200 valid whose client spoke 100 seconds ago.
func lease(link binding.LinkID, kind binding.Kind, prefix, duid string, change ...func(*leasequerytest.Binding)) leasequerytest.Binding {
	p, err := netip.ParsePrefix(prefix)
	if err != nil {
		p = netip.PrefixFrom(netip.MustParseAddr(prefix), 128)
	}
	b := leasequerytest.Binding{Link: link, DUID: duid, Entry: binding.Entry{
		Kind: kind, Prefix: p, IAID: 1, Preferred: 3600, Valid: 7200, LastTransaction: now - 100_000, Source: 1,
	}}
	for _, f := range change {
		f(&b)
	}
	return b
}

// lived sets lifetimes, and how many seconds ago the client spoke.
func lived(preferred, valid uint32, ago int) func(*leasequerytest.Binding) {
	return func(b *leasequerytest.Binding) {
		b.Preferred, b.Valid, b.LastTransaction = preferred, valid, now-binding.Time(ago)*1000
	}
}

func spoke(ago int) func(*leasequerytest.Binding) { return lived(3600, 7200, ago) }

func through(c binding.Chain) func(*leasequerytest.Binding) {
	return func(b *leasequerytest.Binding) { b.Chain = c }
}

func with(options ...[]byte) func(*leasequerytest.Binding) {
	return func(b *leasequerytest.Binding) { b.Options = cat(options...) }
}

func ended(s binding.State) func(*leasequerytest.Binding) {
	return func(b *leasequerytest.Binding) { b.State = s }
}

func leasedAddr(s string) []byte   { return iaAddr(s, 3500, 7100) }
func leasedPrefix(s string) []byte { return iaPrefix(s, 3500, 7100) }

// level is one relay of a chain.
func level(hops uint8, link, peer string, options ...[]byte) binding.Level {
	return binding.Level{HopCount: hops, Link: netip.MustParseAddr(link), Peer: netip.MustParseAddr(peer), Options: cat(options...)}
}

// chain is a chain received from sender, which may be "".
func chain(sender string, levels ...binding.Level) binding.Chain {
	from := netip.Addr{}
	if sender != "" {
		from = netip.MustParseAddr(sender)
	}
	return binding.AppendChain(nil, from, levels)
}

// relayForw is a RELAY-FORW message.
func relayForw(hops byte, link, peer string, options ...[]byte) []byte {
	return cat([]byte{msgRelayForw, hops}, ip(link), ip(peer), cat(options...))
}

func netLink(id binding.LinkID, prefixes []string, relays ...string) leasequerytest.Link {
	l := leasequerytest.Link{ID: id}
	for _, p := range prefixes {
		l.Prefixes = append(l.Prefixes, netip.MustParsePrefix(p))
	}
	for _, r := range relays {
		l.Relays = append(l.Relays, netip.MustParseAddr(r))
	}
	return l
}

// world is an engine and the state that it answers from.
type world struct {
	*leasequerytest.State
	config leasequery.Config
	engine *leasequery.Engine // made of config by the first question
}

func newWorld(links []leasequerytest.Link, bindings ...leasequerytest.Binding) *world {
	w := &world{State: leasequerytest.New()}
	w.SetTime(now, now)
	w.SetLinks(links...)
	w.SetBindings(bindings...)
	return w
}

// begin begins the answer to a message from relayAddr.
func (w *world) begin(over leasequery.Transport, r *leasequery.Requestor, message []byte) (*leasequery.Answer, error) {
	m, err := dhcpv6.ParseMessage(message)
	if err != nil {
		return nil, err
	}
	if w.engine == nil {
		w.engine = leasequery.New(w.config, w)
	}
	a, err := w.engine.Begin(context.Background(), leasequery.Request{Message: m, Peer: relayAddr, Requestor: r, Over: over})
	for i := range message {
		message[i] = 0xee // the engine keeps nothing of it
	}
	return a, err
}

// ask returns the whole answer, and checks that the view was given back.
func (w *world) ask(t testing.TB, over leasequery.Transport, r *leasequery.Requestor, message []byte) [][]byte {
	t.Helper()
	a, err := w.begin(over, r, message)
	if err != nil {
		t.Fatalf("Begin: %v", err)
	}
	var out [][]byte
	for more := true; more; {
		var m []byte
		if m, more, err = a.Next(nil); err != nil {
			t.Fatalf("Next: %v", err)
		}
		out = append(out, m)
	}
	if _, _, err := a.Next(nil); !errors.Is(err, leasequery.ErrClosed) {
		t.Errorf("Next behind the end: %v, want ErrClosed", err)
	}
	a.Close()
	if n := w.OpenViews(); n != 0 {
		t.Errorf("%d views are still open", n)
	}
	return out
}

// expect asks over TCP without a policy and compares the whole answer.
func (w *world) expect(t *testing.T, message []byte, want ...[]byte) {
	t.Helper()
	compare(t, w.ask(t, leasequery.TCP, nil, message), want)
}

// expectUDP is expect over UDP: one message.
func (w *world) expectUDP(t *testing.T, message []byte, want []byte) {
	t.Helper()
	compare(t, w.ask(t, leasequery.UDP, nil, message), [][]byte{want})
}

func compare(t *testing.T, got, want [][]byte) {
	t.Helper()
	dump := func(messages [][]byte) (out []string) {
		for _, m := range messages {
			out = append(out, hex.Dump(m))
		}
		return out
	}
	if slices.EqualFunc(got, want, bytes.Equal) {
		return
	}
	d := cmp.Diff(dump(want), dump(got))
	t.Errorf("answer (-want +got):\n%.8000s", d)
}
