package upstream

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// event is something that happens at a server: what its subscribers are told of a client, at a second.
type event struct {
	at uint32
	c  requestor.Client
}

// events are what happens in the tests of cut connections. Two are of one second; an address changes hands; one renewal is in between.
func events() []event {
	return []event{
		{200, with(of("d", 0), nb, 5000, 9000)},
		{200, with(of("c", 100), na, 0, 0, nc, 0, 0)},
		{210, with(of("e", 0), far, 5000, 9000)},
		{220, with(of("e", 10), far, 0, 0)},
		{230, with(of("d", 0), nb, 5000, 9000, pd, 500, 900)},
		{240, with(of("f", 0), na, 5000, 9000)},
	}
}

// nc is an address that nobody has any more in the end.
var nc = netip.MustParseAddr("2001:db8:1::c")

// last is told behind everything else, and in no bulk answer.
var last = with(of("z", 0), netip.MustParseAddr("2001:db8:1::99"), 5000, 9000)

// historian is a server on sockets, whose first subscription breaks off behind so many octets. The others are begun where they are asked
// to, or if it has lost its history, with DataMissing.
type historian struct {
	t        *testing.T
	mu       sync.Mutex
	left     int // octets until the first subscription breaks off
	cut      bool
	whole    bool // it did not
	now      uint32
	happened int // how many of events
	amnesia  bool
	resumed  []uint32
	all      chan struct{} // closed when all of events have happened
}

// cutting is a connection that breaks off.
type cutting struct {
	net.Conn
	left int
}

func (c *cutting) Write(b []byte) (int, error) {
	n := min(len(b), c.left)
	c.left -= n
	if n, err := c.Conn.Write(b[:n]); err != nil || n < len(b) {
		return n, errors.Join(err, c.Close(), io.ErrShortWrite)
	}
	return n, nil
}

func (h *historian) serve(p *peer) {
	if p.asked.Type == dhcpv6.MessageLeasequery {
		h.bulk(p)
		return
	}
	h.mu.Lock()
	first := !h.cut
	h.cut = true
	h.mu.Unlock()
	if first {
		p.conn = &cutting{p.conn, h.left}
		if p.reply(base(100)) && h.happen(p) && p.data(base(240), holds(&last)) {
			h.mu.Lock()
			h.whole = true
			h.mu.Unlock()
			p.gone()
		}
		h.happen(nil) // what it could not tell
		close(h.all)
		return
	}
	h.resume(p)
}

// happen lets everything happen that has not, and tells p of it.
func (h *historian) happen(p *peer) bool {
	for all := events(); ; {
		h.mu.Lock()
		if h.happened == len(all) {
			h.mu.Unlock()
			return true
		}
		e := all[h.happened]
		h.happened++
		h.now = max(h.now, e.at)
		h.mu.Unlock()
		if p != nil && !p.data(base(e.at), holds(&e.c)) {
			return false
		}
	}
}

// resume is a subscription that goes on where it is asked to, and tells of nothing that happens later: everything has by then.
func (h *historian) resume(p *peer) {
	<-h.all
	h.mu.Lock()
	start := p.starts()
	h.resumed = append(h.resumed, start)
	h.now = max(h.now, 240) + 1
	now, amnesia := h.now, h.amnesia && start > 0
	h.mu.Unlock()
	if amnesia {
		if p.reply(base(now), status(dhcpv6.StatusDataMissing)) && p.data(base(now), holds(&last)) {
			p.gone()
		}
		return
	}
	ok := p.reply(base(now))
	for _, e := range events() {
		if start > 0 && noon+e.at >= start { // a start time is inclusive
			ok = ok && p.data(base(e.at), holds(&e.c))
		}
	}
	if ok && (start == 0 || p.data(base(now), status(dhcpv6.StatusCatchUpComplete))) && p.data(base(now), holds(&last)) {
		p.gone()
	}
}

// bulk answers with what there is; each answer is of a later second.
func (h *historian) bulk(p *peer) {
	h.mu.Lock()
	h.now++
	now, n := h.now, h.happened
	h.mu.Unlock()
	have := map[string]requestor.Client{"c": with(of("c", now-100), na, int(5100-now), int(9100-now), nc, int(5100-now), int(9100-now))}
	for _, e := range events()[:n] {
		c := e.c
		if delete(have, string(c.DUID)); c.Addresses[0].Valid > 0 {
			gone := now - e.at
			c.LastTransaction = gone
			for i := range c.Addresses {
				c.Addresses[i].Preferred, c.Addresses[i].Valid = c.Addresses[i].Preferred-gone, c.Addresses[i].Valid-gone
			}
			for i := range c.Prefixes {
				c.Prefixes[i].Preferred, c.Prefixes[i].Valid = c.Prefixes[i].Preferred-gone, c.Prefixes[i].Valid-gone
			}
			have[string(c.DUID)] = c
		}
	}
	var clients []requestor.Client
	for _, c := range have {
		clients = append(clients, c)
	}
	if p.clients(now, clients...) && len(clients) > 0 {
		p.done(base(now))
	}
}

// A subscription that breaks off at any octet loses no change and no end: neither where it is resumed, nor where the server has lost its
// history in between. Every third octet, from one of the first three at random; with LEASEHOLD_ROUNDS all of them.
func TestSubscriptionCutAtAnyOctet(t *testing.T) {
	cuts, resumed, step := 0, 0, 3
	if os.Getenv("LEASEHOLD_ROUNDS") != "" {
		step = 1
	}
	for _, amnesia := range []bool{false, true} {
		for octets := rand.IntN(step); ; octets += step {
			h := &historian{t: t, left: octets, now: 100, amnesia: amnesia, all: make(chan struct{})}
			if whole := cutAt(t, h); whole || t.Failed() {
				break
			}
			cuts++
			resumed += len(h.resumed)
			for _, start := range h.resumed {
				if start > 0 && start < noon+100 {
					t.Errorf("cut at %d: resumed at %d", octets, start)
				}
			}
		}
	}
	if t.Logf("%d cuts, %d subscriptions behind them", cuts, resumed); cuts < 900/step || resumed < cuts {
		t.Errorf("%d cuts, %d subscriptions behind them", cuts, resumed)
	}
}

// cutAt runs a source until it has what the server has; whole tells that nothing was cut.
func cutAt(t *testing.T, h *historian) (whole bool) {
	m := newModel(t)
	address := listen(t, h.serve)
	s, ctx, stop := socketed(t, Config{Servers: []string{address}, RelayIDs: [][]byte{[]byte("x")}, Active: true}, m)
	defer stop()
	m.until(ctx, "it has what the server has", func() bool {
		d, f := m.held[placeOf(netip.PrefixFrom(nb, 128), false)], m.held[placeOf(netip.PrefixFrom(na, 128), false)]
		return len(m.held) == 4 && m.held[placeOf(netip.PrefixFrom(last.Addresses[0].Address, 128), false)].duid == "z" && m.held[placeOf(pd, true)].duid == "d" && f.duid == "f" && f.stamp == epoch2000+noon+240 &&
			d.stamp == epoch2000+noon+230 && m.ends() == 1
	})
	for {
		h.mu.Lock()
		over := h.whole || len(h.resumed) > 0
		whole = h.whole
		h.mu.Unlock()
		if over && s.Condition().Trouble == "" {
			break
		}
		select {
		case <-ctx.Done():
			t.Fatalf("cut at %d: trouble %q, resumed at %d", h.left, s.Condition().Trouble, h.resumed)
		case <-time.After(100 * time.Microsecond):
		}
	}
	return whole
}
