package bulk

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// end is OPTION_LQ_END_TIME so many milliseconds after the moving state's first moment.
func end(ms int) []byte { return opt(optEndTime, start(ms)[4:]) }

// ended is the end of a binding that its client had, reported so many seconds after the first moment.
func ended(c binding.Change, why binding.State, after int) binding.Change {
	c.Event, c.Reason = binding.End, why
	c.Binding.LastTransaction = now + binding.Time(after)*1000
	return c
}

// clients is the OPTION_CLIENT_DATA of each message of an answer, in order. Everything else of the messages is compared here.
func (w *wire) clients(id int, base []byte) (all [][]byte) {
	w.t.Helper()
	heads := map[byte][]byte{msgAnswer: answerOK(id, base)[2:], msgData: msg(msgData, id, base)[2:]}
	for n := 0; ; n++ {
		b := w.next()
		if b[2] == msgDone {
			if !bytes.Equal(b, msg(msgDone, id, base)) || n == 0 {
				w.t.Fatalf("message %d: %s", n, dump(b))
			}
			return all
		}
		body, ok := bytes.CutPrefix(b[2:], heads[b[2]])
		if !ok || (b[2] == msgAnswer) != (n == 0) {
			w.t.Fatalf("message %d: %s", n, dump(b))
		}
		if n == 0 && len(body) == 0 {
			return nil
		}
		all = append(all, body)
	}
}

// told compares the clients of an answer. The order of clients on a link is the store's.
func (s *served) told(t *testing.T, q, base []byte, want ...[]byte) {
	t.Helper()
	w := dialWire(t, s.addr)
	w.send(q)
	got := w.clients(1, base)
	slices.SortFunc(got, slices.Compare)
	slices.SortFunc(want, slices.Compare)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.expectOpen()
}

// timed is a state whose clients changed at known seconds: at 0 client-a got its bindings and client-b its one, at 10 came client-c, at
// 20.9 client-b released, at 30 client-a renewed its address.
func timed(t *testing.T) *moving {
	t.Helper()
	chain := onRelay("2001:db8:1::1", "relay-a", "port-a")
	b := lease(binding.NA, "2001:db8:1::b", "client-b", chain)
	return activeHouse(t).put(t, 0, b).
		put(t, 10_000, aged(lease(binding.NA, "2001:db8:1::c", "client-c", nil), 3600, 7200, -10)).
		put(t, 10_400, ended(b, binding.Released, 20)).
		put(t, 9_600, renewed(lease(binding.NA, "2001:db8:1::a", "client-a", chain), 30))
}

// renewed is a lease whose client spoke again so many seconds after the first moment.
func renewed(c binding.Change, after int) binding.Change {
	c.Binding.Stamp = uint32(after)
	return aged(c, c.Binding.Preferred, c.Binding.Valid, -after)
}

// What timed holds at its last second, 30: client-a was last heard of then, though its prefix was not.
var (
	timedA = client("client-a", 0, iaAddr("2001:db8:1::a", 3600, 7200), iaPrefix("2001:db8:8000::/56", 3470, 7070))
	timedB = client("client-b", 10, iaAddr("2001:db8:1::b", 0, 0))
	timedC = client("client-c", 20, iaAddr("2001:db8:1::c", 3580, 7180))
)

// RFC 7653 6.3.2, 6.3.3: both ends are inclusive, by the second in which the cluster learned of the change. A client's newest change
// counts, and it is told whole; ends are told at 0/0, in a span of time alone.
func TestRule26BulkWithTimes(t *testing.T) {
	s := serveState(t, timed(t), Config{}, leasequery.Config{})
	oro := opt(optORO, u16(optBaseTime))
	for name, tc := range map[string]struct {
		times []byte
		want  [][]byte
	}{
		"no times":                      {nil, [][]byte{timedA, timedC}},
		"all of it":                     {cat(start(0), end(30_000)), [][]byte{timedA, timedB, timedC}},
		"from the second of a change":   {start(10_000), [][]byte{timedA, timedB, timedC}},
		"from the next second":          {start(11_000), [][]byte{timedA, timedB}},
		"from the second of an end":     {start(20_000), [][]byte{timedA, timedB}},
		"from behind the end":           {start(21_000), [][]byte{timedA}},
		"from behind everything":        {start(31_000), nil},
		"to the second of a change":     {end(10_000), [][]byte{timedC}},
		"to the second before":          {end(9_000), nil},
		"to the second of an end":       {end(20_000), [][]byte{timedB, timedC}},
		"to the second before an end":   {end(19_000), [][]byte{timedC}},
		"one second":                    {cat(start(20_000), end(20_000)), [][]byte{timedB}},
		"a span":                        {cat(start(10_000), end(20_000)), [][]byte{timedB, timedC}},
		"a span without changes":        {cat(start(11_000), end(19_000)), nil},
		"the end written first":         {cat(end(20_000), start(10_000)), [][]byte{timedB, timedC}},
		"from before the history":       {start(-86_400_000), [][]byte{timedA, timedB, timedC}},
		"to a day ahead":                {end(86_400_000), [][]byte{timedA, timedB, timedC}},
		"far ahead, where numbers wrap": {cat(start(0), opt(optEndTime, u32(nowBase+1<<31-1))), [][]byte{timedA, timedB, timedC}},
	} {
		t.Run(name, func(t *testing.T) {
			s.told(t, lqMsg(1, lq(qLink, "2001:db8:1::", oro), tc.times), base(30_000), tc.want...)
		})
	}
	t.Run("without being asked for base time", func(t *testing.T) {
		s.told(t, lqMsg(1, lq(qLink, "2001:db8:1::"), start(20_000)), nil, timedA, timedB)
	})
}

// The times mean the same beside OPTION_LQ_QUERY and inside it; one of them at both is one too many.
func TestRule07TimesAtEitherLevel(t *testing.T) {
	s := serveState(t, timed(t), Config{}, leasequery.Config{})
	oro := opt(optORO, u16(optBaseTime))
	s.told(t, lqMsg(1, lq(qLink, "2001:db8:1::", oro, start(10_000), end(20_000))), base(30_000), timedB, timedC)
	s.told(t, lqMsg(1, lq(qLink, "2001:db8:1::", oro, start(10_000)), end(20_000)), base(30_000), timedB, timedC)
	s.told(t, lqMsg(1, end(20_000), lq(qLink, "2001:db8:1::", start(10_000), oro)), base(30_000), timedB, timedC)
	for _, twice := range [][]byte{
		cat(lq(qLink, "2001:db8:1::", start(10_000)), start(10_000)), cat(end(10_000), lq(qLink, "2001:db8:1::", end(10_000))),
		lq(qLink, "2001:db8:1::", start(10_000), start(20_000)),
	} {
		w := dialWire(t, s.addr)
		w.send(lqMsg(1, twice))
		w.expectStatus(msgAnswer, 1, stMalformed)
		w.expectOpen()
	}
}

// RFC 7653 9: every query type of bulk leasequery takes the times, and finds ends by what ended.
func TestRFC7653TimesWithEveryQueryType(t *testing.T) {
	s := serveState(t, timed(t), Config{}, leasequery.Config{})
	oro := opt(optORO, u16(optBaseTime))
	for name, tc := range map[string]struct {
		q    []byte
		want [][]byte
	}{
		"an address that ended":      {lq(qAddress, "::", iaAddr("2001:db8:1::b", 0, 0), oro), [][]byte{timedB}},
		"an address, not changed":    {lq(qAddress, "::", iaAddr("2001:db8:1::c", 0, 0), oro), nil},
		"an address in a prefix":     {lq(qAddress, "::", iaAddr("2001:db8:8000::7", 0, 0), oro), [][]byte{timedA}},
		"a client that ended":        {lq(qClientID, "::", opt(optClientID, []byte("client-b")), oro), [][]byte{timedB}},
		"a client that did not":      {lq(qClientID, "2001:db8:1::", opt(optClientID, []byte("client-a")), oro), [][]byte{timedA}},
		"a client, not changed":      {lq(qClientID, "::", opt(optClientID, []byte("client-c")), oro), nil},
		"relay-id":                   {lq(qRelayID, "::", opt(optRelayID, []byte("relay-a")), oro), [][]byte{timedA, timedB}},
		"relay-id on a link":         {lq(qRelayID, "2001:db8:1::1", opt(optRelayID, []byte("relay-a")), oro), [][]byte{timedA, timedB}},
		"remote-id":                  {lq(qRemoteID, "::", opt(optRemoteID, u32(9), []byte("port-a")), oro), [][]byte{timedA, timedB}},
		"remote-id that nobody has":  {lq(qRemoteID, "::", opt(optRemoteID, u32(9), []byte("port-b")), oro), nil},
		"link, by a relay's address": {lq(qLink, "2001:db8:1::1", oro), [][]byte{timedA, timedB}},
	} {
		t.Run(name, func(t *testing.T) { s.told(t, lqMsg(1, start(20_000), tc.q), base(30_000), tc.want...) })
	}
	w := dialWire(t, s.addr)
	w.send(lqMsg(1, start(0), lq(qLink, "2001:db8:9::", oro)))
	got := w.next()
	if want := answerOK(1, base(30_000), opt(optStatus, u16(stNotConfigured)))[2:]; !bytes.HasPrefix(got[2:], want[:len(want)-4]) {
		t.Errorf("an unknown link: %s", dump(got))
	}
	w.expectOpen()
}

// Ends of every kind are told in a span of time, whole clients with them, by the last relay chain; in plain bulk never.
func TestRule21EndsInBulkWithTimes(t *testing.T) {
	chain := onRelay("2001:db8:1::1", "relay-a", "port-a")
	relayData := opt(optRelayData, addr("2001:db8:1::1"), relayForw(0, "2001:db8:1::1", "fe80::c", opt(optInterfaceID, []byte("ge-0/0/1")),
		opt(optRelayID, []byte("relay-a")), opt(optRemoteID, u32(9), []byte("port-a"))))
	a, b, c, d, x := lease(binding.NA, "2001:db8:1::a", "client-a", chain), lease(binding.NA, "2001:db8:1::b", "client-b", chain),
		lease(binding.PD, "2001:db8:8000::/56", "client-c", chain), lease(binding.NA, "2001:db8:1::d", "client-d", chain), lease(binding.NA, "2001:db8:1::e", "client-d", chain)
	m := newMoving().put(t, 0, link("one", []string{"2001:db8:1::/48", "2001:db8:8000::/33"}, "2001:db8:1::1"), a, b, c, d, x).
		put(t, 10_000, ended(a, binding.Released, 10), ended(b, binding.Declined, 10), ended(c, binding.Deleted, 10), ended(d, binding.Released, 10))
	s := serveState(t, m, Config{}, leasequery.Config{})
	oro := opt(optORO, u16(optBaseTime), u16(optRelayData))
	byRelay := func(times ...[]byte) []byte {
		return lqMsg(1, lq(qRelayID, "::", opt(optRelayID, []byte("relay-a")), oro), cat(times...))
	}
	s.told(t, byRelay(), base(10_000), client("client-d", 110, iaAddr("2001:db8:1::e", 3490, 7090), relayData))
	s.told(t, byRelay(start(10_000)), base(10_000),
		client("client-a", 0, iaAddr("2001:db8:1::a", 0, 0), relayData),
		client("client-b", 0, iaAddr("2001:db8:1::b", 0, 0), relayData),
		client("client-c", 0, iaPrefix("2001:db8:8000::/56", 0, 0), relayData),
		client("client-d", 0, iaAddr("2001:db8:1::d", 0, 0), iaAddr("2001:db8:1::e", 3490, 7090), relayData),
	)
}
