package bulk

import (
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// The house's client, its relay, and what relay data says of it.
var (
	relayA = onRelay("2001:db8:1::1", "relay-a", "port-a")
	aNA    = lease(binding.NA, "2001:db8:1::a", "client-a", relayA)
	aPD    = lease(binding.PD, "2001:db8:8000::/56", "client-a", relayA)

	dataOfRelayA = relayDataOf("relay-a", "port-a")
)

// relayDataOf is the relay data of onRelay's chain at the house's relay address.
func relayDataOf(relayID, remoteID string) []byte {
	return opt(optRelayData, addr("2001:db8:1::1"), relayForw(0, "2001:db8:1::1", "fe80::c", opt(optInterfaceID, []byte("ge-0/0/1")),
		opt(optRelayID, []byte(relayID)), opt(optRemoteID, u32(9), []byte(remoteID))))
}

// resync states all changes of the source anew, in one entry, and lets what it did not state go.
func (m *moving) resync(t testing.TB, ms int, changes ...binding.Change) *moving {
	t.Helper()
	m.mu.Lock()
	m.index++
	m.store.BeginResync(m.index, m.Now(), m.source, false)
	m.mu.Unlock()
	m.put(t, ms, changes...)
	m.mu.Lock()
	m.index++
	m.store.EndResync(m.index, m.Now(), m.source)
	m.mu.Unlock()
	return m.pass(0)
}

// told subscribes, lets things happen at one moment, 10 s after the house was made, and compares all that is told of it: a client
// that comes then is told last.
func (m *moving) told(t *testing.T, query []byte, happens func(), updates ...[]byte) {
	t.Helper()
	s := serveState(t, m, inClear(), leasequery.Config{})
	w := dialWire(t, s.addr)
	w.send(subscribe(7, query))
	w.expect(subscribed(7, base(0)))
	happens()
	m.put(t, 1000, lease(binding.NA, "2001:db8:1::ffff", "the last", relayA))
	for _, u := range updates {
		w.expect(update(7, base(10_000), u))
	}
	w.expect(update(7, base(11_000), client("the last", 111, iaAddr("2001:db8:1::ffff", 3489, 7089), dataOfRelayA)))
}

// A binding that ends is told at 0/0, inside all that its client has, with the relay chain that it had last and the CLT_TIME of the
// client's last transaction. Ends of one moment are one message.
func TestRule21EndsInASubscription(t *testing.T) {
	filters := map[string][]byte{
		"everything": opt(optORO, u16(optRelayData)),
		"by relay":   lq(qRelayID, "::", opt(optRelayID, []byte("relay-a")), opt(optORO, u16(optRelayData))),
		"by link":    lq(qLink, "2001:db8:1::1", opt(optORO, u16(optRelayData))),
		"by remote":  lq(qRemoteID, "::", opt(optRemoteID, u32(9), []byte("port-a")), opt(optORO, u16(optRelayData))),
	}
	gone, livePD := iaAddr("2001:db8:1::a", 0, 0), iaPrefix("2001:db8:8000::/56", 3490, 7090)
	for name, query := range filters {
		t.Run(name, func(t *testing.T) {
			for why, reason := range map[string]binding.State{"released": binding.Released, "declined": binding.Declined, "deleted": binding.Deleted} {
				t.Run("one binding "+why, func(t *testing.T) {
					m := activeHouse(t)
					m.told(t, query, func() { m.put(t, 10_000, ended(aNA, reason, 10)) }, client("client-a", 0, gone, livePD, dataOfRelayA))
				})
				t.Run("all bindings "+why, func(t *testing.T) {
					m := activeHouse(t)
					m.told(t, query, func() { m.put(t, 10_000, ended(aNA, reason, 5), ended(aPD, reason, 10)) },
						client("client-a", 0, gone, iaPrefix("2001:db8:8000::/56", 0, 0), dataOfRelayA))
				})
			}
			t.Run("ended and leased anew before it was told", func(t *testing.T) {
				m := activeHouse(t)
				m.told(t, query, func() { m.put(t, 10_000, ended(aNA, binding.Released, 5), renewed(aNA, 10)) },
					client("client-a", 0, iaAddr("2001:db8:1::a", 3600, 7200), livePD, dataOfRelayA))
			})
			t.Run("the end of what another server says nobody has", func(t *testing.T) {
				m := activeHouse(t)
				m.told(t, query, func() {
					m.put(t, 10_000, ended(lease(binding.NA, "2001:db8:1::77", "client-x", relayA), binding.Released, 5))
				})
			})
		})
	}
}

// Where only one client's changes are told of: by address, in the exact address and in a delegated prefix around it, and by client.
func TestRule21EndsOfOneAddress(t *testing.T) {
	for name, query := range map[string][]byte{
		"the address":   lq(qAddress, "::", iaAddr("2001:db8:1::a", 0, 0)),
		"in the prefix": lq(qAddress, "::", iaAddr("2001:db8:8000::77", 0, 0)),
		"the client":    lq(qClientID, "::", opt(optClientID, []byte("client-a"))),
		"on the link":   lq(qClientID, "2001:db8:1::", opt(optClientID, []byte("client-a"))),
	} {
		t.Run(name, func(t *testing.T) {
			m := activeHouse(t)
			s := serveState(t, m, inClear(), leasequery.Config{})
			w := dialWire(t, s.addr)
			w.send(subscribe(7, query))
			w.expect(subscribed(7, base(0)))
			m.put(t, 10_000, lease(binding.NA, "2001:db8:1::b", "client-b", relayA)) // of no interest
			m.put(t, 10_000, ended(aNA, binding.Released, 20), ended(aPD, binding.Released, 20))
			w.expect(update(7, base(20_000), client("client-a", 0, iaAddr("2001:db8:1::a", 0, 0), iaPrefix("2001:db8:8000::/56", 0, 0))))
			m.put(t, 10_000, renewed(aNA, 30), renewed(aPD, 30))
			w.expect(update(7, base(30_000), client("client-a", 0, iaAddr("2001:db8:1::a", 3600, 7200), iaPrefix("2001:db8:8000::/56", 3600, 7200))))
		})
	}
}

// A change is a difference that a query could show: the same news again, or a whole resync of it, is told to nobody.
func TestRule22WhatIsAChange(t *testing.T) {
	everything := opt(optORO, u16(optRelayData), u16(optFQDN))
	named, longer := aNA, aNA
	named.Binding.Options = opt(optFQDN, []byte{1, 3, 'f', 'o', 'o'})
	longer.Binding.Valid = 9000
	oldNA, oldPD := iaAddr("2001:db8:1::a", 3490, 7090), iaPrefix("2001:db8:8000::/56", 3490, 7090)
	for name, tc := range map[string]struct {
		happens func(*testing.T, *moving)
		told    [][]byte
	}{
		"the same again":              {func(t *testing.T, m *moving) { m.put(t, 10_000, aNA, aPD) }, nil},
		"the same again, three times": {func(t *testing.T, m *moving) { m.put(t, 9_000, aNA).put(t, 1_000, aPD, aNA).put(t, 0, aNA) }, nil},
		"time that passes":            {func(_ *testing.T, m *moving) { m.pass(10_000) }, nil},
		"the same links again":        {func(t *testing.T, m *moving) { m.put(t, 10_000, houseLink()) }, nil},
		"a resync that states it all": {func(t *testing.T, m *moving) { m.resync(t, 10_000, houseLink(), aPD, aNA) }, nil},
		"the end of what nobody has": {func(t *testing.T, m *moving) {
			m.put(t, 10_000, ended(lease(binding.NA, "2001:db8:1::b", "client-b", nil), binding.Released, 10))
		}, nil},
		"another lifetime":             {func(t *testing.T, m *moving) { m.put(t, 10_000, longer) }, [][]byte{client("client-a", 110, iaAddr("2001:db8:1::a", 3490, 8890), oldPD, dataOfRelayA)}},
		"a renewal":                    {func(t *testing.T, m *moving) { m.put(t, 10_000, renewed(aNA, 10)) }, [][]byte{client("client-a", 0, iaAddr("2001:db8:1::a", 3600, 7200), oldPD, dataOfRelayA)}},
		"client options":               {func(t *testing.T, m *moving) { m.put(t, 10_000, named) }, [][]byte{client("client-a", 110, oldNA, oldPD, named.Binding.Options, dataOfRelayA)}},
		"two changes at one moment":    {func(t *testing.T, m *moving) { m.put(t, 10_000, renewed(aNA, 10), renewed(aPD, 10)) }, [][]byte{client("client-a", 0, iaAddr("2001:db8:1::a", 3600, 7200), iaPrefix("2001:db8:8000::/56", 3600, 7200), dataOfRelayA)}},
		"a resync that states it anew": {func(t *testing.T, m *moving) { m.resync(t, 10_000, houseLink(), aPD, renewed(aNA, 10)) }, [][]byte{client("client-a", 0, iaAddr("2001:db8:1::a", 3600, 7200), oldPD, dataOfRelayA)}},
	} {
		t.Run(name, func(t *testing.T) {
			m := activeHouse(t)
			m.told(t, everything, func() { tc.happens(t, m) }, tc.told...)
		})
	}
}

// houseLink is the link of activeHouse.
func houseLink() binding.Change {
	return link("one", []string{"2001:db8:1::/48", "2001:db8:8000::/33"}, "2001:db8:1::1")
}
