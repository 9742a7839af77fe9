package upstream

import (
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/protocol/requestor"
)

// lent is a binding of the linear model: whose it is, by which relay, since when.
type lent struct {
	client string
	relay  int
	last   uint32
}

// world is a server with a subscription for each of two relays, whose messages wait to be taken. Each client has one address at a time.
type world struct {
	now     uint32
	lent    map[netip.Addr]lent
	waiting [2][]said
}

// tell has a relay's subscription tell that a client has an address, or with valid 0 that it has not any more.
func (w *world) tell(a netip.Addr, l lent, valid int) {
	c := with(of(l.client, w.now-l.last), a, valid/2, valid)
	w.waiting[l.relay] = append(w.waiting[l.relay], said{q: l.relay, at: w.now, live: true, c: c})
}

// set gives an address to a client, behind a relay, or with no client to nobody.
func (w *world) set(a netip.Addr, l lent) {
	old, was := w.lent[a]
	if was && (old.client != l.client || old.relay != l.relay) {
		w.tell(a, old, 0)
	}
	if delete(w.lent, a); l.client != "" {
		w.lent[a] = l
		w.tell(a, l, 7200)
	}
}

// Two subscriptions tell of clients that come, renew, move between what they are about, hand on their addresses and go. In whatever order
// the messages of the two come, in the end what is stated is what the server has; and what a bulk answer says then is no news.
func TestOrderBetweenSubscriptionsDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s, err := New(twoRelays)
		if err != nil {
			t.Fatal(err)
		}
		m := newModel(t)
		teller, err := s.begin(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		take := func(x said) {
			x.c.HasBaseTime, x.c.BaseTime = true, noon+x.at
			if err := teller.take(&x.c, origin{query: x.q, link: noLink, live: x.live}); err != nil {
				t.Fatal(err)
			}
		}
		w := &world{lent: map[netip.Addr]lent{}}
		deliver := func(q int) {
			if len(w.waiting[q]) > 0 {
				take(w.waiting[q][0])
				w.waiting[q] = w.waiting[q][1:]
			}
		}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			w.now += 3
			address := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(rapid.IntRange(1, 3).Draw(rt, "address"))})
			client := rapid.SampledFrom([]string{"", "c", "d", "e"}).Draw(rt, "client") + fmt.Sprint(address.As16()[15])
			if len(client) == 1 {
				client = ""
			}
			w.set(address, lent{client, rapid.IntRange(0, 1).Draw(rt, "relay"), w.now})
			for range rapid.IntRange(0, 3).Draw(rt, "messages") {
				deliver(rapid.IntRange(0, 1).Draw(rt, "subscription"))
			}
		}
		for q := range w.waiting {
			for len(w.waiting[q]) > 0 {
				deliver(q)
			}
		}
		requireHas(rt, m, w)
		news := m.news
		for a, l := range w.lent {
			shift := rapid.Uint32Range(0, 1).Draw(rt, "rounding")
			take(said{q: l.relay, at: w.now + 100, c: with(requestor.Client{DUID: []byte(l.client), LastTransaction: w.now + 100 - l.last - shift}, a,
				3600-int(w.now+100-l.last-shift), 7200-int(w.now+100-l.last-shift))})
		}
		if requireHas(rt, m, w); m.news != news {
			rt.Errorf("%d changes in what has not changed", m.news-news)
		}
		if err := teller.close(); err != nil {
			t.Error(err)
		}
	})
}

func requireHas(rt *rapid.T, m *model, w *world) {
	if len(m.held) != len(w.lent) {
		rt.Errorf("%d bindings, want %d", len(m.held), len(w.lent))
	}
	for a, l := range w.lent {
		h := m.held[placeOf(netip.PrefixFrom(a, 128), false)]
		if h.duid != l.client || h.valid != 7200 || h.preferred != 3600 || h.stamp != epoch2000+noon+l.last {
			rt.Errorf("%v: %+v, want %+v", a, h, l)
		}
	}
}
