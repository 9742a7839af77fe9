package bulk

import (
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/active"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// leaseB is another client's address on the house's link, without a relay, and updateB what is told of it 1.5 s after the house was made.
var (
	leaseB  = lease(binding.NA, "2001:db8:1::b", "client-b", nil)
	updateB = client("client-b", 101, iaAddr("2001:db8:1::b", 3499, 7099))
)

// An accepted ACTIVELEASEQUERY gets one REPLY at once, everything else in DATA. Without OPTION_LQ_QUERY it is about everything, and only about
// what changes from then on. Every message has the base time, asked for or not.
func TestRule20SubscriptionToEverything(t *testing.T) {
	for name, oro := range map[string][]byte{"not asked for": nil, "asked for": opt(optORO, u16(optBaseTime))} {
		t.Run("base time "+name, func(t *testing.T) {
			m := activeHouse(t)
			s := serveState(t, m, inClear(), leasequery.Config{})
			w := dialWire(t, s.addr)
			w.send(subscribe(0x010203, oro))
			w.expect(subscribed(0x010203, base(0)))
			m.put(t, 1500, leaseB)
			w.expect(update(0x010203, base(1500), updateB))
			m.put(t, 500, lease(binding.PD, "2001:db8:9000::/56", "client-b", nil), lease(binding.TA, "2001:db8:1::7a", "client-c", nil))
			w.expect(
				update(0x010203, base(2000), client("client-b", 102, iaAddr("2001:db8:1::b", 3498, 7098), iaPrefix("2001:db8:9000::/56", 3498, 7098))),
				update(0x010203, base(2000), client("client-c", 102, iaAddr("2001:db8:1::7a", 3498, 7098))))
			m.put(t, 1000, leaseB) // nothing new: nothing is told
			m.put(t, 1000, renewed(leaseB, 3))
			w.expect(update(0x010203, base(4000), client("client-b", 1, iaAddr("2001:db8:1::b", 3599, 7199), iaPrefix("2001:db8:9000::/56", 3496, 7096))))
			await(t, "REPLY and four DATA are counted", func() bool { return s.metric(t, active.MetricMessages, "") == 5 })
		})
	}
}

// Client options and relay data by the ORO, which stands in the message where there is no query.
func TestRule20SubscriptionWithRelayDataAndOptions(t *testing.T) {
	name := cat([]byte{0}, []byte("\x04host\x07example"))
	chain := onRelay("2001:db8:1::1", "relay-b", "port-b")
	lease := func(a string) binding.Change {
		c := lease(binding.NA, a, "client-b", chain)
		c.Binding.Options = opt(optFQDN, name)
		return c
	}
	relayData := opt(optRelayData, make([]byte, 0), addr("2001:db8:1::1"), relayForw(0, "2001:db8:1::1", "fe80::c",
		opt(optInterfaceID, []byte("ge-0/0/1")), opt(optRelayID, []byte("relay-b")), opt(optRemoteID, u32(9), []byte("port-b"))))
	oro := opt(optORO, u16(optRelayData), u16(optFQDN))
	for where, options := range map[string][]byte{"message": oro, "query": lq(qLink, "2001:db8:1::1", oro)} {
		t.Run("ORO in the "+where, func(t *testing.T) {
			m := activeHouse(t)
			s := serveState(t, m, inClear(), leasequery.Config{})
			w := dialWire(t, s.addr)
			w.send(subscribe(7, options))
			w.expect(subscribed(7, base(0)))
			m.put(t, 1500, lease("2001:db8:1::b"))
			w.expect(update(7, base(1500), client("client-b", 101, iaAddr("2001:db8:1::b", 3499, 7099), opt(optFQDN, name), relayData)))
		})
	}
}

// Every filter that bulk leasequery has: what matches is told, and nothing else.
func TestRule20Filters(t *testing.T) {
	here, there := onRelay("2001:db8:1::1", "relay-1", "port-1"), onRelay("2001:db8:2::1", "relay-2", "port-2")
	match := lease(binding.NA, "2001:db8:1::f", "client-f", here)
	wanted := client("client-f", 101, iaAddr("2001:db8:1::f", 3499, 7099))
	delegatedTo := lease(binding.PD, "2001:db8:8000::/56", "client-p", here)
	for name, c := range map[string]struct {
		query   []byte
		change  binding.Change
		told    []byte
		another []binding.Change
	}{
		"address": {lq(qAddress, "::", iaAddr("2001:db8:1::f", 0, 0)), match, wanted, nil},
		"address in a delegated prefix": {lq(qAddress, "::", iaAddr("2001:db8:8000:33::1", 0, 0)), delegatedTo,
			client("client-p", 101, iaPrefix("2001:db8:8000::/56", 3499, 7099)), []binding.Change{match}},
		"client-id": {lq(qClientID, "::", opt(optClientID, []byte("client-f"))), match, wanted, nil},
		"relay-id":  {lq(qRelayID, "::", opt(optRelayID, []byte("relay-1"))), match, wanted, nil},
		"relay-id, on a link": {lq(qRelayID, "2001:db8:1::2", opt(optRelayID, []byte("relay-1"))), match, wanted,
			[]binding.Change{at(lease(binding.NA, "2001:db8:2::e", "client-e", here), "two")}},
		"remote-id": {lq(qRemoteID, "::", opt(optRemoteID, u32(9), []byte("port-1"))), match, wanted, nil},
		"link":      {lq(qLink, "2001:db8:1::1"), match, wanted, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMoving().put(t, 0, link("one", []string{"2001:db8:1::/48", "2001:db8:8000::/33"}, "2001:db8:1::1"),
				link("two", []string{"2001:db8:2::/48"}, "2001:db8:2::1"))
			s := serveState(t, m, inClear(), leasequery.Config{})
			w := dialWire(t, s.addr)
			w.send(subscribe(9, c.query))
			w.expect(subscribed(9, base(0)))
			m.put(t, 0, append(c.another, lease(binding.NA, "2001:db8:2::d", "client-d", there))...)
			m.put(t, 1500, c.change)
			w.expect(update(9, base(1500), c.told))
		})
	}
}

// What a query cannot be is refused in the one REPLY, which is all; the connection is closed (RFC 7653 9.3).
func TestRFC7653RefusedSubscriptions(t *testing.T) {
	notAllowed := loopback(func(r *leasequery.Requestor) { r.NoActive = true })
	onlyLinks := loopback(func(r *leasequery.Requestor) { r.QueryTypes = append(r.QueryTypes, qLink) })
	for name, c := range map[string]struct {
		options   []byte
		status    int
		requestor []leasequery.Requestor
	}{
		"END_TIME":                     {opt(optEndTime, u32(nowBase)), stMalformed, nil},
		"END_TIME in the query":        {lq(qLink, "2001:db8:1::1", opt(optEndTime, u32(nowBase))), stMalformed, nil},
		"START_TIME of 3 octets":       {opt(optStartTime, []byte{1, 2, 3}), stMalformed, nil},
		"two START_TIME":               {cat(start(0), start(0)), stMalformed, nil},
		"query of 16 octets":           {opt(optQuery, make([]byte, 16)), stMalformed, nil},
		"two queries":                  {cat(lq(qLink, "2001:db8:1::1"), lq(qLink, "2001:db8:1::1")), stMalformed, nil},
		"by link without link-address": {lq(qLink, "::"), stMalformed, nil},
		"by relay-id without one":      {lq(qRelayID, "::"), stMalformed, nil},
		"odd ORO":                      {opt(optORO, []byte{0}), stMalformed, nil},
		"query type 0":                 {lq(0, "::"), stUnknownQueryType, nil},
		"query type 6":                 {lq(6, "::"), stUnknownQueryType, nil},
		"query type 255":               {lq(255, "::"), stUnknownQueryType, nil},
		"link-address of no link":      {lq(qLink, "2001:db9::"), stNotConfigured, nil},
		"address of no link":           {lq(qAddress, "::", iaAddr("2001:db9::1", 0, 0)), stNotConfigured, nil},
		"another address space":        {opt(optVSS, []byte{0, 'x'}), stNotConfigured, nil},
		"active: refuse":               {nil, stNotAllowed, []leasequery.Requestor{notAllowed}},
		"type not allowed":             {lq(qRelayID, "::", opt(optRelayID, []byte{1, 2})), stNotAllowed, []leasequery.Requestor{onlyLinks}},
		"everything not allowed":       {nil, stNotAllowed, []leasequery.Requestor{onlyLinks}},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveState(t, activeHouse(t), inClear(), leasequery.Config{}, c.requestor...)
			w := dialWire(t, s.addr)
			w.send(subscribe(5, c.options))
			w.expectText(subscribed(5, base(0)), c.status)
			w.expectEnd()
			if n := s.metric(t, active.MetricRefused, refusedStatus); n != 1 {
				t.Errorf("%v refusals counted, want 1", n)
			}
			await(t, "it holds no place", func() bool { return s.metric(t, active.MetricSubscriptions, "") == 0 })
		})
	}
}
