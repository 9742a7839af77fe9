package bulk

import (
	"errors"
	"io"
	"testing"
)

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
