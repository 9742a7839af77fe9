package bulk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"unicode/utf8"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// RFC 5007 4.4.1: a query type that the server does not know.
func TestRFC5007UnknownQueryTypes(t *testing.T) {
	s := serve(t, house(t), Config{})
	w := dialWire(t, s.addr)
	for kind := range 256 {
		if kind >= qAddress && kind <= qRemoteID {
			continue
		}
		w.send(lqMsg(kind, lq(kind, "2001:db8:1::")))
		w.expectStatus(msgAnswer, kind, stUnknownQueryType)
	}
	w.expectOpen()
}

// RFC 5007 4.4.1: a link-address that is not :: decides the link, for every query type.
func TestRFC5007LinkAddressDecides(t *testing.T) {
	s := serve(t, house(t), Config{})
	duid, address := opt(optClientID, []byte("\x00\x01client-a")), iaAddr("2001:db8:1::b", 0, 0)
	t.Run("by client-id", func(t *testing.T) {
		s.ask(t, lqMsg(1, lq(qClientID, "2001:db8:1::", duid)), answerOK(1, clientAOn1), done(1))
		s.ask(t, lqMsg(1, lq(qClientID, "2001:db8:3::77", duid)), answerOK(1, clientAOn2), done(1))
	})
	t.Run("by address", func(t *testing.T) {
		s.ask(t, lqMsg(1, lq(qAddress, "2001:db8:ffff::1", address)), answerOK(1, clientAOn1), done(1))
		s.ask(t, lqMsg(1, lq(qAddress, "2001:db8:2::", address)), answerOK(1))
	})
	for _, q := range [][]byte{
		lq(qAddress, "2001:db8:9::", address), lq(qClientID, "2001:db8:9::", duid), lq(qLink, "2001:db8:9::"),
		lq(qRelayID, "2001:db8:9::", opt(optRelayID, []byte("relay-1"))), lq(qRemoteID, "2001:db8:9::", opt(optRemoteID, u32(9), []byte("port-1"))),
	} {
		w := dialWire(t, s.addr)
		w.send(lqMsg(1, q))
		w.expectStatus(msgAnswer, 1, stNotConfigured)
		w.expectOpen()
	}
}

// RFC 5460 7.2: a link-address that is known, with nothing on it for the query, is empty success; both filters apply together.
func TestRFC5460KnownLinkWithoutMatches(t *testing.T) {
	w := house(t).put(t, link("empty", []string{"2001:db8:7::/64"}))
	s := serve(t, w, Config{})
	for _, q := range [][]byte{
		lq(qLink, "2001:db8:7::"),
		lq(qRelayID, "2001:db8:2::", opt(optRelayID, []byte("relay-1"))),
		lq(qRemoteID, "2001:db8:2::", opt(optRemoteID, u32(9), []byte("port-1"))),
		lq(qRelayID, "::", opt(optRelayID, []byte("nobody"))),
		lq(qRemoteID, "::", opt(optRemoteID, u32(9), []byte("nobody"))),
		lq(qClientID, "::", opt(optClientID, []byte("nobody"))),
	} {
		s.ask(t, lqMsg(1, q), answerOK(1))
	}
	s.ask(t, lqMsg(1, lq(qRemoteID, "2001:db8:1::", opt(optRemoteID, u32(9), []byte("port-2")))), answerOK(1, clientBOn1), done(1))
}

// RFC 5007 3, 4.4.1: a query changes nothing, whatever it says.
func TestRFC5007QueriesChangeNothing(t *testing.T) {
	world := house(t)
	before := world.Store.View()
	hash := before.Hash()
	before.Release()
	s := serve(t, world, Config{})
	w := dialWire(t, s.addr)
	w.send(
		lqMsg(1, lq(qAddress, "::", iaAddr("2001:db8:1::b", 1, 1))), // lifetimes in a query are ignored (RFC 8415 21.6)
		lqMsg(2, lq(qLink, "2001:db8:2::"), client("\x00\x01client-a", 0, iaAddr("2001:db8:1::b", 1, 1))),
	)
	w.expect(answerOK(1, clientAOn1), done(1), answerOK(2, clientAOn2), done(2))
	after := world.Store.View()
	defer after.Release()
	if after.Hash() != hash {
		t.Error("the state is another one after queries")
	}
}

// RFC 8415 11: DUIDs are octets and nothing else.
func TestRFC8415DUIDsAreOpaque(t *testing.T) {
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}))
	long := string(bytes.Repeat([]byte{0xff}, 130))
	for n, duid := range []string{"\x01", "\xff\xff", "\x00\x01\x00\x00", long} {
		w.put(t, lease(binding.NA, fmt.Sprintf("2001:db8:1::%x", n+1), duid, nil))
	}
	s := serve(t, w, Config{})
	for n, duid := range []string{"\x01", "\xff\xff", "\x00\x01\x00\x00", long} {
		s.ask(t, lqMsg(1, lq(qClientID, "::", opt(optClientID, []byte(duid)))),
			answerOK(1, client(duid, 100, leased(fmt.Sprintf("2001:db8:1::%x", n+1)))), done(1))
	}
	s.ask(t, lqMsg(1, lq(qClientID, "::", opt(optClientID, []byte("\xff")))), answerOK(1))
}

// RFC 8415 21.13: status texts are UTF-8 without a final NUL; ours are short.
func TestRFC8415StatusTexts(t *testing.T) {
	s := serve(t, house(t), Config{})
	w := dialWire(t, s.addr)
	for id, q := range [][]byte{lq(0, "::"), lq(qLink, "::"), lq(qLink, "2001:db8:9::"), opt(optQuery), lq(qRemoteID, "::")} {
		w.send(lqMsg(id, q))
		b := w.next()
		text := b[len(answerOK(id))+6:]
		if !utf8.Valid(text) || len(text) == 0 || len(text) > 120 || bytes.IndexByte(text, 0) >= 0 {
			t.Errorf("status text %q", text)
		}
	}
	w.send(msg(msgStartTLS, 9))
	w.expectStatus(msgReply, 9, stTLSRefused)
}

// RFC 6607 7.1: virtual networks are not known here, so a query that names one is not answered for the global one, and option
// 68 is never returned.
func TestRFC6607VirtualNetworks(t *testing.T) {
	s := serve(t, house(t), Config{})
	for _, vss := range [][]byte{opt(optVSS, []byte{0}, []byte("vpn")), opt(optVSS, []byte{1, 0, 0, 0, 0, 0, 0, 1})} {
		w := dialWire(t, s.addr)
		w.send(lqMsg(1, lq(qLink, "2001:db8:2::", vss)))
		w.expectStatus(msgAnswer, 1, stNotConfigured)
		w.expectOpen()
	}
	s.ask(t, lqMsg(1, lq(qLink, "2001:db8:2::", opt(optVSS, []byte{255}), opt(optORO, u16(optVSS)))), answerOK(1, clientAOn2), done(1))
}

// RFC 5460 5.2, 5.2.1, 5.2.2, 6.3: one REPLY, then DATA with client data only, then one DONE with nothing, all with the query's
// transaction-id; and no OPTION_CLIENT_LINK (4) however many links.
func TestRFC5460Messages(t *testing.T) {
	s := serve(t, many(t, 500, 10), Config{})
	w := dialWire(t, s.addr)
	w.send(lqMsg(0xabcdef, lq(qLink, "2001:db8:ffff::1")))
	for n := 0; ; n++ {
		b := w.next()
		if !bytes.Equal(b[3:6], []byte{0xab, 0xcd, 0xef}) {
			t.Fatalf("message %d has transaction-id %x", n, b[3:6])
		}
		var codes []uint16
		for code := range dhcpv6.Options(b[6:]).All() {
			codes = append(codes, uint16(code))
		}
		want, kind := []uint16{optClientData}, byte(msgData)
		switch n {
		case 0:
			want, kind = []uint16{optClientID, optServerID, optClientData}, msgAnswer
		case 500:
			want, kind = nil, msgDone
		}
		if b[2] != kind || fmt.Sprint(codes) != fmt.Sprint(want) {
			t.Fatalf("message %d is of type %d with options %v, want %d with %v", n, b[2], codes, kind, want)
		}
		if n == 500 {
			break
		}
	}
	w.expectOpen()
}

// RFC 5460 7.3 and 6.5: many queries, sent in one segment, octet by octet, or cut anywhere.
func TestRFC5460QueriesHoweverTheyAreCut(t *testing.T) {
	s := serve(t, house(t), Config{})
	var burst []byte
	var want [][]byte
	for id := range 12 {
		burst = append(burst, lqMsg(id, lq(qClientID, "::", opt(optClientID, []byte{0, 7})))...)
		want = append(want, answerOK(id))
	}
	for _, size := range []int{1, 2, 3, 7, 50, len(burst)} {
		w := dialWire(t, s.addr)
		for rest := burst; len(rest) > 0; {
			n := min(size, len(rest))
			w.send(rest[:n])
			rest = rest[n:]
		}
		w.expect(want...)
	}
}

// RFC 5460 7.4: the server closes when it cannot send, and when the requestor's answers are all sent.
func TestRFC5460PeerThatIsGone(t *testing.T) {
	s := serve(t, large(t), Config{})
	w := dialWire(t, s.addr)
	w.send(lqMsg(1, lq(qLink, "2001:db8:ffff::1")))
	w.next()
	if err := w.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, "the connection is closed and its query forgotten", func() bool {
		return s.metric(t, MetricConnections, "") == 0 && s.metric(t, MetricRunning, "") == 0
	})
}

// RFC 7653 9.1: without TLS, STARTTLS is refused and the connection stays as it is; options in it are ignored.
func TestRFC7653StartTLSIsRefused(t *testing.T) {
	s := serve(t, house(t), Config{})
	w := dialWire(t, s.addr)
	w.send(msg(msgStartTLS, 3))
	w.expectStatus(msgReply, 3, stTLSRefused)
	w.send(msg(msgStartTLS, 4, opt(optORO, []byte{1}), opt(65000)))
	w.expectStatus(msgReply, 4, stTLSRefused)
	w.expectOpen()
}

// RFC 7653 9.2: without active leasequery, ACTIVELEASEQUERY gets NotSupported and the connection ends; answers that run are
// sent first.
func TestRFC7653ActiveLeasequeryIsNotSupported(t *testing.T) {
	s := serve(t, many(t, 2000, 10), Config{})
	w := dialWire(t, s.addr)
	active := msg(msgActive, 2, opt(optClientID, requestorID), lq(qLink, "2001:db8:ffff::1"))
	w.send(active)
	w.expectStatus(msgAnswer, 2, stNotSupported)
	w.expectEnd()

	w = dialWire(t, s.addr)
	w.send(lqMsg(1, lq(qLink, "2001:db8:ffff::1")), active, lqMsg(3, lq(qLink, "2001:db8:ffff::1")))
	messages := map[byte]int{}
	for {
		b, err := w.frame()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		messages[b[5]]++
	}
	if messages[1] != 2001 || messages[2] != 1 || messages[3] != 0 {
		t.Errorf("messages by query: %v; want 2,001 for the one that ran, 1 for the refusal, none behind it", messages)
	}
}

// RFC 7653 6.3.1: with a base time, lifetimes and CLT_TIME count from it, not from when the message is made.
func TestRFC7653TimesCountFromTheBaseTime(t *testing.T) {
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}), lease(binding.NA, "2001:db8:1::1", "\x00\x01one", nil))
	s := serve(t, w, Config{})
	base := opt(optBaseTime, u32(nowBase))
	want := client("\x00\x01one", 100, leased("2001:db8:1::1"))
	s.ask(t, lqMsg(1, lq(qLink, "2001:db8:1::", opt(optORO, u16(optBaseTime)))), answerOK(1, base, want), msg(msgDone, 1, base))
}

// RFC 8987 3.4, G-3: any number of prefixes for a client, and one DUID behind several interfaces keeps what each has.
func TestRFC8987PrefixesAndDuplicateDUIDs(t *testing.T) {
	const each = 300
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}, "2001:db8:1::1"), link("net2", []string{"2001:db8:2::/64"}, "2001:db8:2::1"))
	first, second := onRelay("2001:db8:1::1", "relay-1", "port-1"), onRelay("2001:db8:2::1", "relay-1", "port-2")
	prefixes := func(base int) (changes []binding.Change, octets []byte) {
		chain := first
		if base > 0 {
			chain = second
		}
		for n := range each {
			a := [16]byte(addr("2001:db8:8000::"))
			binary.BigEndian.PutUint16(a[6:], uint16(base+n))
			p := netip.PrefixFrom(netip.AddrFrom16(a), 64).String()
			changes = append(changes, lease(binding.PD, p, "\x00\x01twin", chain))
			octets = append(octets, delegated(p)...)
		}
		return changes, octets
	}
	ones, wantOne := prefixes(0)
	twos, wantTwo := prefixes(4096)
	s := serve(t, w.put(t, append(ones, twos...)...), Config{})
	one, two := client("\x00\x01twin", 100, wantOne), client("\x00\x01twin", 100, wantTwo)
	s.ask(t, lqMsg(1, lq(qRemoteID, "::", opt(optRemoteID, u32(9), []byte("port-1")))), answerOK(1, one), done(1))
	s.ask(t, lqMsg(1, lq(qRemoteID, "::", opt(optRemoteID, u32(9), []byte("port-2")))), answerOK(1, two), done(1))
	s.ask(t, lqMsg(1, lq(qRelayID, "::", opt(optRelayID, []byte("relay-1")))), answerOK(1, one), msg(msgData, 1, two), done(1))
}

// RFC 5007 4.1.2.4: no relay data for a client that came unrelayed, also when it is always sent.
func TestRFC5007RelayDataAlways(t *testing.T) {
	s := serveEngine(t, house(t), Config{}, leasequery.Config{RelayData: leasequery.RelayDataAlways})
	s.ask(t, lqMsg(1, lq(qLink, "2001:db8:2::")), answerOK(1, clientAOn2), done(1))
	w := dialWire(t, s.addr)
	w.send(lqMsg(2, lq(qRemoteID, "::", opt(optRemoteID, u32(9), []byte("port-2")))))
	message := relayForw(0, "2001:db8:ffff::1", "fe80::c", opt(optInterfaceID, []byte("ge-0/0/1")),
		opt(optRelayID, []byte("relay-1")), opt(optRemoteID, u32(9), []byte("port-2")))
	w.expect(answerOK(2, client("\x00\x01client-b", 100, leased("2001:db8:1::c"), opt(optRelayData, addr("2001:db8:ffff::1"), message))), done(2))
}
