package bulk

import (
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
)

// An accepted ACTIVELEASEQUERY gets one REPLY at once, everything else in DATA; every message has the base time.
func TestRule20SubscriptionToEverything(t *testing.T) {
	m := activeHouse(t)
	s := serveState(t, m, inClear(), noEngine)
	w := dialWire(t, s.addr)
	w.send(subscribe(0x010203))
	w.expect(subscribed(0x010203, base(0)))
	m.put(t, 1500, lease(binding.NA, "2001:db8:1::b", "client-b", nil))
	w.expect(update(0x010203, base(1500), client("client-b", 101, iaAddr("2001:db8:1::b", 3499, 7099))))
}
