package bulk

import (
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// The end of a binding that ended early is kept for as long as the binding could have lasted, at most a day: a requestor that comes
// back after longer than the history, with a route that it believes in that long, is still told.
func TestRule25EarlyEndsAreKept(t *testing.T) {
	const hour = 3_600_000
	for name, tc := range map[string]struct {
		valid   uint32
		after   int // ms, from the end
		missing bool
	}{
		"far behind the history, before it would have run out": {7200, hour, false},
		"when it would have run out long ago":                  {7200, 3 * hour, true},
		"one that would never have, within a day":              {binding.Infinity, 23 * hour, false},
		"one that would never have, behind a day":              {binding.Infinity, 25 * hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := aged(lease(binding.NA, "2001:db8:1::a", "client-a", relayA), 3600, tc.valid, 100)
			m := newMoving().put(t, 0, houseLink(), a).put(t, 1000, ended(a, binding.Released, 1)).pass(tc.after)
			at := 1000 + tc.after
			s := serveState(t, m, inClear(), leasequery.Config{})
			w := dialWire(t, s.addr)
			w.send(subscribe(1, start(1000)))
			if tc.missing {
				w.expectText(subscribed(1, base(at)), stDataMissing)
				return
			}
			w.expect(subscribed(1, base(at), client("client-a", tc.after/1000, iaAddr("2001:db8:1::a", 0, 0))), catchUpComplete(1, base(at)))
		})
	}
}
