package bulk

import (
	"testing"

	"github.com/leasehold/leasehold/protocol/leasequery"
)

// RFC 8415 16, 21.1: in ACTIVELEASEQUERY, too, the order of options means nothing, unknown ones are skipped, and this server's own id is
// fine.
func TestRFC8415OptionsOfASubscription(t *testing.T) {
	m := activeHouse(t)
	s := serveState(t, m, inClear(), leasequery.Config{})
	unknown := cat(opt(65003, []byte("?")), opt(17, u32(32473), opt(1, []byte("vendor"))))
	query := lq(qClientID, "2001:db8:1::", unknown, opt(optORO, u16(65003), u16(optRelayData)), opt(optClientID, []byte("client-a")), unknown)
	house := client("client-a", 100, iaAddr("2001:db8:1::a", 3500, 7100), iaPrefix("2001:db8:8000::/56", 3500, 7100), dataOfRelayA)
	for _, order := range orders([][]byte{opt(optClientID, requestorID), opt(optServerID, clusterID), query, start(0), unknown}) {
		w := dialWire(t, s.addr)
		w.send(msg(msgActive, 1, order...))
		w.expect(subscribed(1, base(0), house), catchUpComplete(1, base(0)))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// An ACTIVELEASEQUERY that gets no answer costs only itself: what runs goes on, and the next one is accepted.
func TestRule11DiscardedSubscriptions(t *testing.T) {
	for name, bad := range map[string][]byte{
		"no client-id":            msg(msgActive, 1, lq(qLink, "2001:db8:1::1")),
		"empty client-id":         msg(msgActive, 1, opt(optClientID), lq(qLink, "2001:db8:1::1")),
		"client-id of 131 octets": msg(msgActive, 1, opt(optClientID, make([]byte, 131))),
		"another server's id":     subscribe(1, opt(optServerID, []byte{0, 2, 1})),
		"option framing":          subscribe(1, []byte{0, 44, 0, 9, 1}),
	} {
		t.Run(name, func(t *testing.T) {
			m := activeHouse(t)
			s := serveState(t, m, inClear(), leasequery.Config{})
			w := dialWire(t, s.addr)
			w.send(bad)
			w.expectOpen()
			w.send(bad, subscribe(2))
			w.expect(subscribed(2, base(0)))
			w.send(bad)
			m.put(t, 1500, leaseB)
			w.expect(update(2, base(1500), updateB))
			await(t, "all three are counted", func() bool { return s.total(t, MetricDiscarded) == 3 })
		})
	}
}
