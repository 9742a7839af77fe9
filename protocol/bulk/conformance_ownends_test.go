package bulk

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// ownEnd is the CLT_TIME, at its own second, of an end that nobody reported but the cluster found out: when the client was last heard
// of, 110 s before.
const ownEnd = 110

// Ends that the cluster itself finds out, as nobody reports them.
func TestRule21OwnEndsInASubscription(t *testing.T) {
	everything := opt(optORO, u16(optRelayData))
	behindB := onRelay("2001:db8:1::1", "relay-b", "port-b")
	gone := iaAddr("2001:db8:1::a", 0, 0)
	goneP := iaPrefix("2001:db8:8000::/56", 0, 0)
	livePD := iaPrefix("2001:db8:8000::/56", 3490, 7090)
	moved := renewed(aNA, 10)
	moved.Binding.Chain = behindB
	owner := renewed(lease(binding.NA, "2001:db8:1::a", "client-n", relayA), 10)
	newOwner := client("client-n", 0, iaAddr("2001:db8:1::a", 3600, 7200), dataOfRelayA)
	for name, tc := range map[string]struct {
		before  []binding.Change
		query   []byte
		happens func(*testing.T, *moving)
		told    [][]byte
	}{
		"expired": {[]binding.Change{aged(aNA, 100, 110, 100), aged(aPD, 100, 110, 100)}, everything,
			func(_ *testing.T, m *moving) { m.pass(10_000) }, [][]byte{client("client-a", ownEnd, gone, goneP, dataOfRelayA)}},
		"one expired": {[]binding.Change{aged(aNA, 100, 110, 100)}, everything,
			func(_ *testing.T, m *moving) { m.pass(10_000) }, [][]byte{client("client-a", ownEnd, gone, livePD, dataOfRelayA)}},
		"not stated by a resync": {nil, everything,
			func(t *testing.T, m *moving) { m.resync(t, 10_000, houseLink(), aPD) }, [][]byte{client("client-a", ownEnd, gone, livePD, dataOfRelayA)}},
		"stated by no resync": {nil, everything,
			func(t *testing.T, m *moving) { m.resync(t, 10_000, houseLink()) }, [][]byte{client("client-a", ownEnd, gone, goneP, dataOfRelayA)}},
		"reassigned: the old owner's end first": {nil, everything,
			func(t *testing.T, m *moving) { m.put(t, 10_000, owner) }, [][]byte{client("client-a", ownEnd, gone, livePD, dataOfRelayA), newOwner}},
		"moved from relay to relay, by the old one": {[]binding.Change{ended(aPD, binding.Released, 0)}, lq(qRelayID, "::", opt(optRelayID, []byte("relay-a")), everything),
			func(t *testing.T, m *moving) { m.put(t, 10_000, moved) }, [][]byte{client("client-a", ownEnd, gone, dataOfRelayA)}},
		"moved from relay to relay, by the old port": {[]binding.Change{ended(aPD, binding.Released, 0)}, lq(qRemoteID, "::", opt(optRemoteID, u32(9), []byte("port-a")), everything),
			func(t *testing.T, m *moving) { m.put(t, 10_000, moved) }, [][]byte{client("client-a", ownEnd, gone, dataOfRelayA)}},
		"one of two moved from relay to relay, by the old one": {nil, lq(qRelayID, "::", opt(optRelayID, []byte("relay-a")), everything),
			func(t *testing.T, m *moving) { m.put(t, 10_000, moved) }, [][]byte{client("client-a", 0, iaAddr("2001:db8:1::a", 3600, 7200), livePD, dataOfRelayA)}},
	} {
		t.Run(name, func(t *testing.T) {
			m := activeHouse(t)
			m.put(t, 0, tc.before...)
			m.told(t, tc.query, func() { tc.happens(t, m) }, tc.told...)
		})
	}
}

// A client that moves is told as ended to who asks by the relay that it left, and as leased to who asks by the one that it came to.
func TestRule21MovedFromRelayToRelay(t *testing.T) {
	m := activeHouse(t)
	s := serveState(t, m, inClear(), leasequery.Config{})
	oro := opt(optORO, u16(optRelayData))
	old, there := dialWire(t, s.addr), dialWire(t, s.addr)
	old.send(subscribe(1, lq(qRelayID, "::", opt(optRelayID, []byte("relay-a")), oro)))
	there.send(subscribe(2, lq(qRelayID, "::", opt(optRelayID, []byte("relay-b")), oro)))
	old.expect(subscribed(1, base(0)))
	there.expect(subscribed(2, base(0)))
	na, pd := renewed(aNA, 10), renewed(aPD, 10)
	na.Binding.Chain = onRelay("2001:db8:1::1", "relay-b", "port-b")
	pd.Binding.Chain = na.Binding.Chain
	m.put(t, 10_000, na, pd)
	gone := update(1, base(10_000), client("client-a", ownEnd, iaAddr("2001:db8:1::a", 0, 0), iaPrefix("2001:db8:8000::/56", 0, 0), dataOfRelayA))
	here := update(2, base(10_000), client("client-a", 0, iaAddr("2001:db8:1::a", 3600, 7200), iaPrefix("2001:db8:8000::/56", 3600, 7200),
		relayDataOf("relay-b", "port-b")))
	half := update(2, base(10_000), client("client-a", 0, iaAddr("2001:db8:1::a", 3600, 7200), relayDataOf("relay-b", "port-b")))
	old.expect(gone)
	// Each binding's move is a change of its own: the address may be told of before the prefix has come.
	if b := there.next(); !bytes.Equal(b, here) {
		if !bytes.Equal(b, half) {
			t.Errorf("at the relay that it came to:\n%s", dump(b))
		}
		there.expect(here)
	}
}

// In bulk with times the same: the old owner's end comes before the new owner's lease, also when that is behind another relay.
func TestRule21ReassignedInBulkWithTimes(t *testing.T) {
	other := onRelay("2001:db8:1::1", "relay-b", "port-b")
	taken := renewed(lease(binding.NA, "2001:db8:1::a", "client-n", other), 10)
	m := activeHouse(t).put(t, 10_000, taken)
	s := serveState(t, m, Config{}, leasequery.Config{})
	w := dialWire(t, s.addr)
	w.send(lqMsg(1, lq(qAddress, "::", iaAddr("2001:db8:1::a", 0, 0), opt(optORO, u16(optBaseTime), u16(optRelayData))), start(10_000)))
	want := [][]byte{
		// Nothing that it has matches any more: all of it is told as ended.
		client("client-a", ownEnd, iaAddr("2001:db8:1::a", 0, 0), iaPrefix("2001:db8:8000::/56", 0, 0), dataOfRelayA),
		client("client-n", 0, iaAddr("2001:db8:1::a", 3600, 7200), relayDataOf("relay-b", "port-b")),
	}
	if diff := cmp.Diff(want, w.clients(1, base(10_000))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
