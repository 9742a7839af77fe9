package bulk

import (
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// catchUpComplete is the DATA that ends a catch-up phase (RFC 7653 9.3).
func catchUpComplete(id int, base []byte) []byte {
	return update(id, base, opt(optStatus, u16(stCatchUpComplete)))
}

// START_TIME is inclusive and counts when the cluster learned of a change. The REPLY has the first client of the catch-up. While unsent changes
// lie behind a message its base time is its own change's second; CatchUpComplete follows the last of them, then what changes.
func TestRule24CatchUp(t *testing.T) {
	m := timed(t)
	s := serveState(t, m, inClear(), leasequery.Config{})
	a, c := timedA, client("client-c", 0, iaAddr("2001:db8:1::c", 3600, 7200))
	b := client("client-b", 0, iaAddr("2001:db8:1::b", 0, 0))
	for name, tc := range map[string]struct {
		start int
		want  [][]byte
	}{
		"from before the first change": {-1000, [][]byte{subscribed(3, base(10_000), c), update(3, base(20_400), b), update(3, base(30_000), a)}},
		"from the second of a change":  {10_000, [][]byte{subscribed(3, base(10_000), c), update(3, base(20_400), b), update(3, base(30_000), a)}},
		"from the next second":         {11_000, [][]byte{subscribed(3, base(20_400), b), update(3, base(30_000), a)}},
		"from the last second":         {30_000, [][]byte{subscribed(3, base(30_000), a)}},
		"from behind everything":       {31_000, [][]byte{subscribed(3, base(30_000))}},
	} {
		t.Run(name, func(t *testing.T) {
			w := dialWire(t, s.addr)
			w.send(subscribe(3, start(tc.start)))
			w.expect(tc.want...)
			w.expect(catchUpComplete(3, base(30_000)))
		})
	}
	t.Run("then what changes", func(t *testing.T) {
		w := dialWire(t, s.addr)
		w.send(subscribe(3, lq(qLink, "2001:db8:1::1"), start(31_000)))
		w.expect(subscribed(3, base(30_000)), catchUpComplete(3, base(30_000)))
		m.put(t, 1000, lease(binding.NA, "2001:db8:1::d", "client-d", nil))
		w.expect(update(3, base(31_000), client("client-d", 131, iaAddr("2001:db8:1::d", 3469, 7069))))
	})
}

// Going on at another node with the base time that the first one gave repeats at most a second, and leaves nothing out.
func TestRule23GoingOnElsewhere(t *testing.T) {
	m := activeHouse(t)
	one, other := serveState(t, m, inClear(), leasequery.Config{}), serveState(t, m, inClear(), leasequery.Config{})
	w := dialWire(t, one.addr)
	w.send(subscribe(1))
	w.expect(subscribed(1, base(0)))
	m.put(t, 1200, leaseB)
	w.expect(update(1, base(1200), updateB))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	m.put(t, 200, lease(binding.NA, "2001:db8:1::c", "client-c", nil)) // in the same second
	m.put(t, 5000, lease(binding.NA, "2001:db8:1::d", "client-d", nil))
	w = dialWire(t, other.addr)
	w.send(subscribe(2, start(1200)))
	w.expect(
		subscribed(2, base(1200), updateB),
		update(2, base(1400), client("client-c", 101, iaAddr("2001:db8:1::c", 3499, 7099))),
		update(2, base(6400), client("client-d", 106, iaAddr("2001:db8:1::d", 3494, 7094))),
		catchUpComplete(2, base(6400)))
}

// START_TIME that the history does not reach back to, or more than 5 s ahead: DataMissing and the base time in the REPLY, which is no error.
// The connection stays, what changes follows, and CatchUpComplete never does.
func TestRule25DataMissingAtTheBeginning(t *testing.T) {
	// The catch-up time is 10 minutes. What ends is known for as long.
	old := func(t *testing.T) *moving {
		return activeHouse(t).put(t, 0, leaseB).put(t, 1000, ended(leaseB, binding.Released, 1)).pass(7_200_000).pass(1_200_000)
	}
	const at = 8_401_000
	for name, tc := range map[string]struct {
		start   int
		missing bool
	}{
		"before the history":   {0, true},
		"the last second":      {at, false},
		"5 s ahead":            {at + 5000, false},
		"6 s ahead":            {at + 6000, true},
		"an hour ahead":        {at + 3_600_000, true},
		"2^31 seconds ahead":   {at + 1<<31*1000, true},
		"2^31-1 seconds ahead": {at + (1<<31-1)*1000, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := old(t)
			s := serveState(t, m, inClear(), leasequery.Config{})
			w := dialWire(t, s.addr)
			w.send(subscribe(1, start(tc.start)))
			if tc.missing {
				w.expectText(subscribed(1, base(at)), stDataMissing)
			} else {
				w.expect(subscribed(1, base(at)), catchUpComplete(1, base(at)))
			}
			m.put(t, 1000, aged(lease(binding.NA, "2001:db8:1::d", "client-d", nil), 3600, 7200, -at/1000))
			w.expect(update(1, base(at+1000), client("client-d", 1, iaAddr("2001:db8:1::d", 3599, 7199))))
		})
	}
}

// A subscriber that read nothing for so long that ends were forgotten is told so in a DATA, and goes on.
func TestRule25DataMissingMidway(t *testing.T) {
	m := activeHouse(t)
	s := serveState(t, m, inClear(), leasequery.Config{})
	w := dialWire(t, s.addr)
	w.send(subscribe(1))
	w.expect(subscribed(1, base(0)))
	sent := stallSubscriber(t, s, m, w)
	m.put(t, 0, ended(leaseOf(0), binding.Released, 3)).pass(7_200_000).pass(1_200_000)
	for n := 0; ; n++ {
		b := w.next()
		if b[2] != msgData || n > sent {
			t.Fatalf("message %d: %s", n, dump(b))
		}
		if i := len(b) - 6; i >= 14 && string(b[14:16]) == string(u16(optStatus)) {
			if string(b[18:20]) != string(u16(stDataMissing)) {
				t.Fatalf("status %x, want DataMissing", b[18:20])
			}
			break
		}
	}
	at := int(m.Now() - now)
	m.put(t, 1000, aged(lease(binding.NA, "2001:db8:1::d", "client-d", nil), 3600, 7200, -at/1000))
	w.expect(update(1, base(at+1000), client("client-d", 1, iaAddr("2001:db8:1::d", 3599, 7199))))
}
