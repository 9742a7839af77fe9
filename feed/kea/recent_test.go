package kea

import (
	"net/netip"
	"testing"
	"time"

	"github.com/leasehold/leasehold/fsm/binding"
)

const someCLTT = 1795424694

func leaseRow(client byte, cltt int64) row {
	return row{prefix: netip.MustParsePrefix("2001:db8::1/128"), kind: binding.NA, duid: []byte{0, 3, client}, iaid: 7, valid: 7200, preferred: 3600,
		expire: cltt + 7200, subnet: []byte("1")}
}

func releasedRow(client byte, cltt int64) row {
	r := leaseRow(client, cltt)
	r.state = stateReleased
	return r
}

// TestRulings goes through the table of the arbiter: what was known, what comes, what follows.
func TestRulings(t *testing.T) {
	began := time.Unix(someCLTT+5, 0)
	at := func(seconds float64) time.Time { return began.Add(time.Duration(seconds * float64(time.Second))) }
	type piece struct {
		way   string // push, event, look (a page), survey
		conn  uint64
		row   row
		at    float64
		late  bool
		want  ruling
		again bool
	}
	take, leave := ruling{take: true}, ruling{}
	push := func(conn uint64, at float64, r row, want ruling) piece {
		return piece{way: "push", conn: conn, row: r, at: at, want: want}
	}
	event := func(at float64, r row, want ruling) piece { return piece{way: "event", row: r, at: at, want: want} }
	look := func(at float64, r row, want ruling) piece { return piece{way: "look", row: r, at: at, want: want} }
	survey := func(at float64, r row, want ruling) piece { return piece{way: "survey", row: r, at: at, want: want} }
	a0, a1, b0 := leaseRow('a', someCLTT), leaseRow('a', someCLTT+1), leaseRow('b', someCLTT)
	x0 := releasedRow('a', someCLTT)
	for name, tc := range map[string]struct {
		followed, asking bool
		pieces           []piece
	}{
		"newer pushes take effect":             {pieces: []piece{push(1, 0, a0, take), push(2, 1, a1, take)}},
		"an older push is left out":            {pieces: []piece{push(1, 0, a1, take), push(2, 1, a0, leave)}},
		"an older push: Kea is asked":          {asking: true, pieces: []piece{push(1, 0, a1, take), push(2, 1, a0, ruling{ask: true})}},
		"an older push, the file will tell":    {followed: true, asking: true, pieces: []piece{push(1, 0, a1, take), push(2, 1, a0, leave)}},
		"Kea's clock was set back":             {pieces: []piece{push(1, 0, leaseRow('a', someCLTT+60), take), push(1, 1, a0, take)}},
		"the same again":                       {asking: true, pieces: []piece{push(1, 0, a0, take), push(2, 0, a0, take)}},
		"a tie on one connection":              {asking: true, pieces: []piece{push(1, 0, a0, take), push(1, 0, x0, take), push(1, 0, b0, take)}},
		"a tie on two: Kea is asked":           {asking: true, pieces: []piece{push(1, 0, a0, take), push(2, 0, x0, ruling{take: true, ask: true})}},
		"a tie on two: the end wins":           {pieces: []piece{push(1, 0, a0, take), push(2, 0.1, x0, take)}},
		"a tie on two: the end stays":          {pieces: []piece{push(1, 0, x0, take), push(2, 0.1, a0, leave)}},
		"a tie on two, long after":             {pieces: []piece{push(1, 0, x0, take), push(2, 1.1, a0, take)}},
		"late news: Kea is asked":              {asking: true, pieces: []piece{{way: "push", conn: 1, row: a0, late: true, want: ruling{take: true, ask: true}}}},
		"late news, the file has told":         {followed: true, pieces: []piece{{way: "push", conn: 1, row: a0, late: true, want: leave}}},
		"late news, nobody else tells":         {pieces: []piece{{way: "push", conn: 1, row: a0, late: true, want: take}}},
		"the file repeats a push":              {followed: true, pieces: []piece{push(1, 0, a0, take), event(1, a0, take)}},
		"the file is behind a push":            {followed: true, pieces: []piece{push(1, 0, a1, take), event(1, a0, leave), event(1, a1, take), event(2, x0, take)}},
		"the file's order in one second":       {followed: true, pieces: []piece{push(1, 0, x0, take), event(1, a0, take), event(1, x0, take)}},
		"a push behind the file":               {followed: true, pieces: []piece{event(0, a0, take), event(0, x0, take), push(1, 1, a0, leave), push(1, 1, x0, take)}},
		"a push before the file":               {followed: true, pieces: []piece{event(0, a0, take), push(1, 1, x0, take), event(1, x0, take)}},
		"the file after the clock was set":     {followed: true, pieces: []piece{event(0, a1, take), event(1, a0, take)}},
		"a page asked before a push":           {asking: true, pieces: []piece{push(1, 1, x0, take), look(0, a0, leave)}},
		"a page asked after a push":            {asking: true, pieces: []piece{push(1, 1, a0, take), look(2, x0, take)}},
		"a page that says the same":            {asking: true, pieces: []piece{push(1, 1, a0, take), look(0, a0, take)}},
		"a page with something newer":          {asking: true, pieces: []piece{push(1, 1, a0, take), look(0, a1, take)}},
		"a page that lags behind":              {asking: true, pieces: []piece{push(1, 1, a1, take), look(2, a0, leave)}},
		"a survey after the file's own events": {followed: true, pieces: []piece{event(1, a1, take), survey(0, a0, take)}},
		"a survey before a push":               {followed: true, pieces: []piece{push(1, 1, x0, take), survey(0, a0, leave)}},
		"another statement: left out, but stated again": {asking: true, pieces: []piece{push(1, 1, a1, take), {way: "statement"},
			{way: "look", row: a0, at: 2, again: true}, {way: "look", row: a0, at: 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newRecent(tc.followed, tc.asking)
			for i, p := range tc.pieces {
				c.advance(at(p.at))
				var got ruling
				switch p.way {
				case "push":
					got = c.push(&p.row, at(p.at), p.conn, p.late)
				case "event":
					got = c.event(&p.row)
				case "look":
					got = c.look(&p.row, at(p.at), false)
				case "survey":
					got = c.look(&p.row, at(p.at), true)
				case "statement":
					c.begin()
				}
				again := got.again
				got.again = nil
				if got != p.want || (again != nil) != p.again {
					t.Fatalf("piece %d: %+v, again %v; want %+v, %v", i, got, again, p.want, p.again)
				}
			}
		})
	}
}

func TestAnswerOfKeaCountsUnlessSomethingCameMeanwhile(t *testing.T) {
	began := time.Unix(someCLTT, 0)
	for name, tc := range map[string]struct {
		asked time.Duration
		found bool
		want  bool
		live  bool
	}{
		"asked before the push":   {-1, true, false, true},
		"asked after it":          {1, true, true, true},
		"asked after it, no such": {1, false, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := newRecent(false, true)
			c.advance(began)
			r := leaseRow('a', someCLTT)
			c.push(&r, began, 1, false)
			var said *row
			if tc.found {
				older := leaseRow('b', someCLTT-9)
				said = &older
			}
			got := c.answer(r.prefix.Addr(), said, began.Add(tc.asked))
			if got.take != tc.want || c.known[r.prefix.Addr()].live != tc.live {
				t.Errorf("%+v, live %v", got, c.known[r.prefix.Addr()].live)
			}
		})
	}
}

func TestRecentIsBounded(t *testing.T) {
	c := newRecent(false, true)
	began := time.Unix(someCLTT, 0)
	a := netip.MustParseAddr("2001:db8::")
	for i := range recentMost + 100 {
		c.advance(began.Add(time.Duration(i)))
		r := leaseRow('a', someCLTT)
		r.prefix = netip.PrefixFrom(a, 128)
		c.push(&r, began.Add(time.Duration(i)), 1, false)
		a = a.Next()
	}
	if n := len(c.known); n > recentMost+1 {
		t.Errorf("%d addresses are remembered", n)
	}
	old := leaseRow('b', someCLTT-1)
	old.prefix = netip.MustParsePrefix("2001:db8::/128")
	if got := c.look(&old, began, false); !got.take || !got.vague {
		t.Errorf("a look that is older than what was forgotten: %+v", got)
	}
	c.advance(began.Add(2 * recentFor))
	if len(c.known)+len(c.order) != 0 {
		t.Errorf("%d addresses are remembered after a while", len(c.known))
	}
}
