package bulk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// await waits until something about the server is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range 15_000 {
		if so() {
			return
		}
		<-tick.C
	}
	t.Fatalf("still not so after 30 s: %s", what)
}

func TestRule11DiscardedMessages(t *testing.T) {
	s := serve(t, house(t), Config{})
	good := lq(qLink, "2001:db8:2::")
	for name, m := range map[string][]byte{
		"no client-id":                         msg(msgQuery, 1, good),
		"empty client-id":                      msg(msgQuery, 1, opt(optClientID), good),
		"another server's id":                  lqMsg(1, opt(optServerID, []byte{0, 2, 1}), good),
		"no query":                             lqMsg(1),
		"option header cut short":              msg(msgQuery, 1, opt(optClientID, requestorID), good, []byte{0, 1}),
		"option value cut short":               msg(msgQuery, 1, opt(optClientID, requestorID), good, []byte{0, 1, 0, 9, 1}),
		"SOLICIT":                              msg(1, 1, opt(optClientID, requestorID), good),
		"REPLY":                                msg(msgReply, 1, opt(optClientID, requestorID), good),
		"LEASEQUERY-REPLY":                     msg(msgAnswer, 1, opt(optClientID, requestorID), opt(optServerID, clusterID)),
		"LEASEQUERY-DATA":                      msg(msgData, 1, clientAOn2),
		"LEASEQUERY-DONE":                      done(1),
		"RELAY-FORW with a LEASEQUERY":         frame(relayForw(0, "2001:db8:1::", "fe80::1", opt(optRelayMsg, lqMsg(1, good)[2:]))),
		"an unknown message type":              msg(200, 1, opt(optClientID, requestorID), good),
		"ACTIVELEASEQUERY without client-id":   msg(msgActive, 1, good),
		"a header and nothing else":            msg(msgQuery, 1),
		"a message of 65,535 octets, no query": msg(msgQuery, 1, opt(optClientID, requestorID), opt(65000, make([]byte, 65535-4-14-4))),
	} {
		t.Run(name, func(t *testing.T) {
			before := s.total(t, MetricDiscarded)
			w := dialWire(t, s.addr)
			w.send(lqMsg(9, good), m) // beside a query that runs
			w.expect(answerOK(9, clientAOn2), done(9))
			w.expectOpen()
			if n := s.total(t, MetricDiscarded) - before; n != 1 {
				t.Errorf("%v messages counted as discarded, want 1", n)
			}
		})
	}
	t.Run("this server's own id is fine", func(t *testing.T) {
		s.ask(t, lqMsg(1, opt(optServerID, clusterID), good), answerOK(1, clientAOn2), done(1))
	})
}

// frame is any octets in a frame.
func frame(b []byte) []byte { return cat(u16(len(b)), b) }

// total is the sum of a metric's series.
func (s *served) total(t *testing.T, name string) float64 {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// A transaction-id that is in use: the running answer goes on, the newcomer is never answered.
func TestRule11TransactionIDInUse(t *testing.T) {
	s := serve(t, many(t, 5000, 10), Config{})
	w := dialWire(t, s.addr)
	all, few := lq(qRelayID, "::", opt(optRelayID, []byte("relay-all"))), lq(qRelayID, "::", opt(optRelayID, []byte("relay-few")))
	w.send(lqMsg(7, all), lqMsg(7, few), lqMsg(8, few))
	kinds := map[byte]map[int]int{7: {}, 8: {}}
	for kinds[7][msgDone]+kinds[8][msgDone] < 2 {
		b := w.next()
		kinds[b[5]][int(b[2])]++
	}
	if got := kinds[7]; got[msgAnswer] != 1 || got[msgData] != 4989 {
		t.Errorf("query 7: %v, want one reply and 4,989 data", got)
	}
	if got := kinds[8]; got[msgAnswer] != 1 || got[msgData] != 9 {
		t.Errorf("query 8: %v, want one reply and 9 data", got)
	}
	w.send(lqMsg(7, few)) // free again
	if b := w.next(); b[2] != msgAnswer || b[5] != 7 {
		t.Errorf("transaction-id 7 once more: %x", b[:6])
	}
}

func TestRule11MalformedQueries(t *testing.T) {
	s := serve(t, house(t), Config{})
	address, duid := iaAddr("2001:db8:1::a", 0, 0), opt(optClientID, []byte{0, 1, 2})
	for name, options := range map[string][]byte{
		"query of 16 octets":              opt(optQuery, make([]byte, 16)),
		"empty query":                     opt(optQuery),
		"two queries":                     cat(lq(qLink, "2001:db8:2::"), lq(qLink, "2001:db8:2::")),
		"broken options inside the query": lq(qLink, "2001:db8:2::", []byte{0, 1, 0, 5}),
		"no address":                      lq(qAddress, "::"),
		"two addresses":                   lq(qAddress, "::", address, address),
		"address of 23 octets":            lq(qAddress, "::", opt(optIAAddr, make([]byte, 23))),
		"no client-id":                    lq(qClientID, "::"),
		"two client-ids":                  lq(qClientID, "::", duid, duid),
		"empty client-id":                 lq(qClientID, "::", opt(optClientID)),
		"client-id of 131 octets":         lq(qClientID, "::", opt(optClientID, make([]byte, 131))),
		"no relay-id":                     lq(qRelayID, "::"),
		"two relay-ids":                   lq(qRelayID, "::", opt(optRelayID, []byte{1}), opt(optRelayID, []byte{1})),
		"empty relay-id":                  lq(qRelayID, "::", opt(optRelayID)),
		"relay-id of 131 octets":          lq(qRelayID, "::", opt(optRelayID, make([]byte, 131))),
		"no remote-id":                    lq(qRemoteID, "::"),
		"two remote-ids":                  lq(qRemoteID, "::", opt(optRemoteID, u32(9), []byte("a")), opt(optRemoteID, u32(9), []byte("a"))),
		"remote-id of 4 octets":           lq(qRemoteID, "::", opt(optRemoteID, u32(9))),
		"link-address ::":                 lq(qLink, "::"),
		"odd option request":              lq(qLink, "2001:db8:2::", opt(optORO, []byte{0, 47, 0})),
		"odd option request outside":      cat(opt(optORO, []byte{0}), lq(qLink, "2001:db8:2::")),
		"start time of 3 octets":          cat(lq(qLink, "2001:db8:2::"), opt(optStartTime, []byte{1, 2, 3})),
		"end time of 5 octets":            cat(lq(qLink, "2001:db8:2::"), opt(optEndTime, []byte{1, 2, 3, 4, 5})),
		"start behind end":                cat(lq(qLink, "2001:db8:2::"), opt(optStartTime, u32(nowBase-5)), opt(optEndTime, u32(nowBase-6))),
	} {
		t.Run(name, func(t *testing.T) {
			w := dialWire(t, s.addr)
			w.send(lqMsg(5, options))
			w.expectStatus(msgAnswer, 5, stMalformed)
			w.expectOpen()
		})
	}
}

func TestRule11UnknownOptionsAreSkipped(t *testing.T) {
	s := serve(t, house(t), Config{})
	odd := opt(65003, []byte("unknown"))
	s.ask(t, cat(lqMsg(5, odd, lq(qLink, "2001:db8:2::", odd, opt(optORO, u16(65003)), opt(17, u32(9))), odd)), answerOK(5, clientAOn2), done(5))
}

func TestRule11FramesUnderFourOctets(t *testing.T) {
	s := serve(t, house(t), Config{})
	for n := range 4 {
		w := dialWire(t, s.addr)
		w.send(lqMsg(1, lq(qLink, "2001:db8:2::")))
		w.expect(answerOK(1, clientAOn2), done(1))
		w.send(frame(make([]byte, n)), lqMsg(2, lq(qLink, "2001:db8:2::")))
		w.expectEnd()
	}
}

func TestRule12QueriesRunSideBySide(t *testing.T) {
	const clients = 100_000
	s := serve(t, large(t), Config{})
	all, few := lq(qLink, "2001:db8:ffff::1"), lq(qRelayID, "::", opt(optRelayID, []byte("relay-few")))
	w := dialWire(t, s.addr)
	w.send(lqMsg(1, all), lqMsg(2, few))
	before := 0
	for {
		b := w.next()
		if b[5] == 1 {
			before++
		}
		if b[2] == msgDone {
			if b[5] != 2 {
				t.Fatalf("the query of %d clients ended first", clients)
			}
			break
		}
	}
	if before >= clients/100 {
		t.Errorf("%d messages of the large answer before the small one ended, want under %d", before, clients/100)
	}
	for {
		if b := w.next(); b[2] == msgDone {
			break
		}
	}
	w.expectOpen()
}

// Queries past the limit are answered, in their order, once others have ended.
func TestRule12QueriesPastTheLimitWait(t *testing.T) {
	s := serve(t, house(t), Config{MaxQueriesPerConnection: 2})
	w := dialWire(t, s.addr)
	var burst, want [][]byte
	for id := range 50 {
		burst = append(burst, lqMsg(id, lq(qClientID, "::", opt(optClientID, []byte{0, 7}))))
		want = append(want, answerOK(id))
	}
	w.send(burst...)
	w.expect(want...)
}

func TestRule13HalfCloseGetsEveryAnswer(t *testing.T) {
	s := serve(t, many(t, 20_000, 10), Config{})
	w := dialWire(t, s.addr)
	all, few := lq(qRelayID, "::", opt(optRelayID, []byte("relay-all"))), lq(qRelayID, "::", opt(optRelayID, []byte("relay-few")))
	w.send(lqMsg(1, all), lqMsg(2, few), lqMsg(3, all), []byte{0, 50, 14}) // and half a message
	if err := w.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	messages, dones := map[byte]int{}, map[byte]int{}
	for {
		b, err := w.frame()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		messages[b[5]]++
		if b[2] == msgDone {
			dones[b[5]]++
		}
	}
	for id, want := range map[byte]int{1: 19_991, 2: 11, 3: 19_991} {
		if messages[id] != want || dones[id] != 1 {
			t.Errorf("query %d: %d messages, %d of them DONE; want %d and 1", id, messages[id], dones[id], want)
		}
	}
}

func TestRule13HalfCloseWithoutQuery(t *testing.T) {
	s := serve(t, house(t), Config{})
	w := dialWire(t, s.addr)
	if err := w.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	w.expectEnd()
}

func TestRule14StalledReaderIsClosed(t *testing.T) {
	s := serve(t, large(t), Config{DataTimeout: 300 * time.Millisecond})
	w := dialWire(t, s.addr)
	w.send(lqMsg(1, lq(qLink, "2001:db8:ffff::1")))
	await(t, "the stalled connection is closed", func() bool { return s.metric(t, MetricClosed, "stalled") == 1 })
	octets, err := io.Copy(io.Discard, w.in)
	if err == nil || octets > 16<<20 {
		t.Errorf("then read %d octets, %v; want a reset after what the kernels held", octets, err)
	}
	if n := s.metric(t, MetricRunning, ""); n != 0 {
		t.Errorf("%v queries still running", n)
	}
}

// What a requestor that reads nothing costs does not grow with its answer.
func TestRule14StalledReaderIsBounded(t *testing.T) {
	s := serve(t, large(t), Config{})
	w := dialWire(t, s.addr)
	w.send(lqMsg(1, lq(qLink, "2001:db8:ffff::1")), lqMsg(2, lq(qLink, "2001:db8:ffff::1")))
	var settled, last float64
	await(t, "nothing more is sent", func() bool {
		sent := s.metric(t, MetricOctets, "")
		if sent != last {
			settled, last = 0, sent
		} else if sent > 0 {
			settled++
		}
		return settled > 50
	})
	if last > 8<<20 {
		t.Errorf("%v octets were handed to the kernel for a requestor that reads nothing", last)
	}
}

func TestRule14HalfAMessageIsClosed(t *testing.T) {
	s := serve(t, house(t), Config{DataTimeout: 300 * time.Millisecond})
	w := dialWire(t, s.addr)
	w.send([]byte{0, 200, 14})
	w.expectEnd()
	if n := s.metric(t, MetricClosed, "frame-timeout"); n != 1 {
		t.Errorf("%s{frame-timeout} = %v, want 1", MetricClosed, n)
	}
}

func TestRule14OldViewEndsWithQueryTerminated(t *testing.T) {
	s := serve(t, large(t), Config{MaxViewAge: 200 * time.Millisecond})
	w := dialWire(t, s.addr)
	w.send(lqMsg(1, lq(qLink, "2001:db8:ffff::1")))
	await(t, "the view is given back", func() bool { return s.metric(t, MetricTerminated, "view") == 1 })
	for {
		b := w.next()
		if b[2] != msgDone {
			continue
		}
		if !bytes.Equal(b[2:12], cat([]byte{msgDone, 0, 0, 1}, u16(optStatus), b[8:10], u16(stTerminated))) {
			t.Errorf("ended with %x, want QueryTerminated", b)
		}
		break
	}
	w.expectEnd()
}

func TestRule15FailureBeforeTheFirstReply(t *testing.T) {
	world := house(t)
	world.fail = errors.New("no leader")
	s := serve(t, world, Config{})
	w := dialWire(t, s.addr)
	w.send(lqMsg(1, lq(qLink, "2001:db8:2::")))
	w.expectStatus(msgAnswer, 1, stTerminated)
	w.expectEnd()
}

func TestRule15FailureEndsTheOtherAnswersToo(t *testing.T) {
	world := large(t)
	s := serve(t, world, Config{})
	w := dialWire(t, s.addr)
	w.send(lqMsg(1, lq(qLink, "2001:db8:ffff::1")))
	first := w.next() // it runs
	if first[2] != msgAnswer {
		t.Fatalf("got %x", first[:6])
	}
	world.failing(errors.New("no leader"))
	w.send(lqMsg(2, lq(qLink, "2001:db8:ffff::1")))
	ended := map[byte]byte{} // by transaction-id: the message type that ended it
	for len(ended) < 2 {
		b := w.next()
		if b[2] == msgDone || b[5] == 2 {
			ended[b[5]] = b[2]
			if status := binary.BigEndian.Uint16(b[bytes.Index(b, u16(optStatus))+4:]); status != stTerminated {
				t.Errorf("query %d ended with status %d", b[5], status)
			}
		}
	}
	if ended[1] != msgDone || ended[2] != msgAnswer {
		t.Errorf("ended by message types %v, want DONE and REPLY", ended)
	}
	w.expectEnd()
}

func TestRule15DrainEndsAnswersWithQueryTerminated(t *testing.T) {
	s := serve(t, large(t), Config{})
	w := dialWire(t, s.addr)
	w.send(lqMsg(1, lq(qLink, "2001:db8:ffff::1")))
	w.next()
	over, cancel := context.WithCancel(context.Background())
	cancel()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		s.Drain(over)
	}()
	for {
		b := w.next()
		if b[2] != msgDone {
			continue
		}
		if status := binary.BigEndian.Uint16(b[10:]); status != stTerminated {
			t.Errorf("ended with status %d, want QueryTerminated", status)
		}
		break
	}
	w.expectEnd()
	<-drained
	if c, err := net.Dial("tcp", s.addr.String()); err == nil {
		t.Error("a drained server still accepts")
		_ = c.Close() // it should not exist
	}
}

func TestRule16Defaults(t *testing.T) {
	c := DefaultConfig()
	if c.MaxConnections != 10 || c.DataTimeout != 300*time.Second || c.IdleTimeout != 300*time.Second {
		t.Errorf("BULK_LQ_MAX_CONNS %d, BULK_LQ_DATA_TIMEOUT %v, idle %v; want 10, 5m0s, 5m0s", c.MaxConnections, c.DataTimeout, c.IdleTimeout)
	}
	if octets := c.SendBuffer + 2*(frameHeader+dhcpv6.MaxFrame); octets > 256<<10 {
		t.Errorf("a connection may take %d octets", octets)
	}
}

func TestRule16LongestIdleConnectionMakesRoom(t *testing.T) {
	s := serve(t, house(t), Config{MaxConnections: 3})
	var all []*wire
	for range 3 {
		w := dialWire(t, s.addr)
		w.expectOpen()
		all = append(all, w)
	}
	all[0].expectOpen() // now the second is the longest idle
	newcomer := dialWire(t, s.addr)
	newcomer.expectOpen()
	all[1].expectEnd()
	all[0].expectOpen()
	all[2].expectOpen()
}

func TestRule16NewcomerIsClosedWhenAllAreBusy(t *testing.T) {
	s := serve(t, large(t), Config{MaxConnections: 2})
	for range 2 {
		w := dialWire(t, s.addr)
		w.send(lqMsg(1, lq(qLink, "2001:db8:ffff::1")))
		w.next()
	}
	dialWire(t, s.addr).expectEnd()
	if n := s.metric(t, MetricRefused, "limit"); n != 1 {
		t.Errorf("%s{limit} = %v, want 1", MetricRefused, n)
	}
}

func TestRule16IdleConnectionIsClosed(t *testing.T) {
	s := serve(t, house(t), Config{IdleTimeout: 200 * time.Millisecond})
	w := dialWire(t, s.addr)
	w.expectOpen()
	w.expectEnd()
}

func TestRule17StrangersAreClosedAtOnce(t *testing.T) {
	s := serve(t, house(t), Config{}, leasequery.Requestor{Name: "elsewhere", Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}})
	w := dialWire(t, s.addr)
	w.expectEnd()
	if n := s.metric(t, MetricRefused, "stranger"); n != 1 {
		t.Errorf("%s{stranger} = %v, want 1", MetricRefused, n)
	}
}

// loopback is a requestor stanza for the tests' own address.
func loopback(set func(*leasequery.Requestor)) leasequery.Requestor {
	r := leasequery.Requestor{Name: "loopback", Prefixes: []netip.Prefix{netip.MustParsePrefix("::1/128")}}
	set(&r)
	return r
}

func TestRule17QueryTypes(t *testing.T) {
	s := serve(t, house(t), Config{}, loopback(func(r *leasequery.Requestor) { r.QueryTypes = []dhcpv6.QueryType{qLink} }))
	w := dialWire(t, s.addr)
	for _, kind := range []int{qAddress, qClientID, qRelayID, qRemoteID} {
		w.send(lqMsg(kind, lq(kind, "::", iaAddr("2001:db8:1::a", 0, 0), opt(optClientID, []byte{0, 1}), opt(optRelayID, []byte{0, 1}), opt(optRemoteID, u32(9), []byte("a")))))
		w.expectStatus(msgAnswer, kind, stNotAllowed)
	}
	w.send(lqMsg(5, lq(qLink, "2001:db8:2::")))
	w.expect(answerOK(5, clientAOn2), done(5))
}

func TestRule17LimitsOfAStanza(t *testing.T) {
	s := serve(t, house(t), Config{}, loopback(func(r *leasequery.Requestor) { r.MaxConnections = 1 }))
	first := dialWire(t, s.addr)
	first.expectOpen()
	dialWire(t, s.addr).expectOpen()
	first.expectEnd()
}

func TestRule17SensitiveOptionsAndRelayData(t *testing.T) {
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}), lease(binding.NA, "2001:db8:1::1", "\x00\x01one", onRelay("2001:db8:1::", "relay-1", "port-1")))
	s := serve(t, w, Config{}, loopback(func(r *leasequery.Requestor) {
		r.RelayData = leasequery.RelayDataAlways
		r.Sensitive = []dhcpv6.OptionCode{optRemoteID}
	}))
	message := relayForw(0, "2001:db8:1::", "fe80::c", opt(optInterfaceID, []byte("ge-0/0/1")), opt(optRelayID, []byte("relay-1")))
	s.ask(t, lqMsg(1, lq(qLink, "2001:db8:1::")),
		answerOK(1, client("\x00\x01one", 100, leased("2001:db8:1::1"), opt(optRelayData, addr("2001:db8:1::"), message))), done(1))
}

// A restricted requestor sees what it relays, binding by binding, also of clients that have more.
func TestRule17Restricted(t *testing.T) {
	own, other := onRelay("2001:db8:1::", "relay-1", "port-1"), onRelay("2001:db8:1::", "relay-2", "port-2")
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}),
		lease(binding.NA, "2001:db8:1::1", "\x00\x01one", own), lease(binding.NA, "2001:db8:1::2", "\x00\x01one", other),
		lease(binding.NA, "2001:db8:1::3", "\x00\x01two", other))
	s := serve(t, w, Config{}, loopback(func(r *leasequery.Requestor) {
		r.Restricted = &leasequery.Restriction{RelayIDs: [][]byte{[]byte("relay-1")}}
	}))
	want := client("\x00\x01one", 100, leased("2001:db8:1::1"))
	for _, q := range [][]byte{
		lq(qLink, "2001:db8:1::"),
		lq(qAddress, "::", iaAddr("2001:db8:1::1", 0, 0)),
		lq(qClientID, "::", opt(optClientID, []byte("\x00\x01one"))),
	} {
		s.ask(t, lqMsg(1, q), answerOK(1, want), done(1))
	}
	for _, q := range [][]byte{
		lq(qAddress, "::", iaAddr("2001:db8:1::3", 0, 0)),
		lq(qClientID, "::", opt(optClientID, []byte("\x00\x01two"))),
		lq(qRelayID, "::", opt(optRelayID, []byte("relay-2"))),
	} {
		s.ask(t, lqMsg(1, q), answerOK(1))
	}
}
