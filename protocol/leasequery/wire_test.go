package leasequery_test

import (
	"bytes"
	"context"
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

// The tests write and expect octets by functions that know nothing of the project's codec: the RFCs' figures, in order.
var (
	cat          = leasequerytest.Cat
	u16          = leasequerytest.U16
	u32          = leasequerytest.U32
	opt          = leasequerytest.Opt
	oro          = leasequerytest.ORO
	ip           = leasequerytest.Addr
	iaAddr       = leasequerytest.IAAddr
	iaPrefix     = leasequerytest.IAPrefix
	lq           = leasequerytest.Query
	clientData   = leasequerytest.ClientData
	relayForw    = leasequerytest.RelayForw
	leasedAddr   = leasequerytest.Leased
	leasedPrefix = leasequerytest.Delegated
)

// Message types, option codes, statuses and query types from the IANA registry.
const (
	msgRelayForw, msgQuery, msgReply           = leasequerytest.MsgRelayForw, leasequerytest.MsgLeasequery, leasequerytest.MsgLeasequeryReply
	msgDone, msgData, msgActive                = leasequerytest.MsgLeasequeryDone, leasequerytest.MsgLeasequeryData, leasequerytest.MsgActiveLeasequery
	msgStartTLS                                = leasequerytest.MsgStartTLS
	optClientID, optServerID, optIAAddr        = leasequerytest.OptClientID, leasequerytest.OptServerID, leasequerytest.OptIAAddr
	optORO, optRelayMsg                        = leasequerytest.OptORO, leasequerytest.OptRelayMsg
	optStatus, optInterfaceID, optRemoteID     = leasequerytest.OptStatus, leasequerytest.OptInterfaceID, leasequerytest.OptRemoteID
	optSubscriberID, optFQDN, optQuery         = leasequerytest.OptSubscriberID, leasequerytest.OptFQDN, leasequerytest.OptQuery
	optClientData, optCLT, optRelayData        = leasequerytest.OptClientData, leasequerytest.OptCLT, leasequerytest.OptRelayData
	optClientLink, optRelayID, optVSS          = leasequerytest.OptClientLink, leasequerytest.OptRelayID, leasequerytest.OptVSS
	optLinkLayer, optBaseTime, optStartTime    = leasequerytest.OptLinkLayer, leasequerytest.OptBaseTime, leasequerytest.OptStartTime
	optEndTime                                 = leasequerytest.OptEndTime
	unspecFail, unknownQueryType, malformed    = leasequerytest.StatusUnspecFail, leasequerytest.StatusUnknownQueryType, leasequerytest.StatusMalformed
	notConfigured, notAllowed, terminated      = leasequerytest.StatusNotConfigured, leasequerytest.StatusNotAllowed, leasequerytest.StatusTerminated
	dataMissing, catchUpComplete, notSupported = leasequerytest.StatusDataMissing, leasequerytest.StatusCatchUpComplete, leasequerytest.StatusNotSupported
	byAddress, byClientID, byRelayID           = leasequerytest.QueryByAddress, leasequerytest.QueryByClientID, leasequerytest.QueryByRelayID
	byLink, byRemoteID                         = leasequerytest.QueryByLink, leasequerytest.QueryByRemoteID
)

// msg is a message: type, transaction-id, options.
func msg(kind int, options ...[]byte) []byte {
	return cat([]byte{byte(kind), 0xab, 0xcd, 0xef}, cat(options...))
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

// failure is a LEASEQUERY-REPLY with a status.
func failure(status int, text string) []byte { return reply(opt(optStatus, u16(status), []byte(text))) }

// now is cluster time; nowBase is the same as OPTION_LQ_BASE_TIME.
const now, nowBase = leasequerytest.Now, leasequerytest.NowBase

// relayAddr is where the tests ask from.
var relayAddr = netip.MustParseAddrPort("[2001:db8:ffff::1]:1024")

// lease is a binding of 3,600 seconds preferred and 7,200 valid whose client spoke 100 seconds ago.
func lease(link binding.LinkID, kind binding.Kind, prefix, duid string, change ...func(*leasequerytest.Binding)) leasequerytest.Binding {
	b := leasequerytest.Binding{Link: link, DUID: duid, Entry: binding.Entry{
		Kind: kind, Prefix: leasequerytest.Prefix(prefix), IAID: 1, Preferred: 3600, Valid: 7200, LastTransaction: now - 100_000, Source: 1,
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
