package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// listen is a server on a socket of its own: each connection on which something is asked is served, one at a time, and then closed.
func listen(t *testing.T, serve func(p *peer)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer func() { _ = c.Close() }() // the requestor may have been first
				p := &peer{t: t, conn: c, frames: dhcpv6.NewReader(c, nil)}
				if p.read() {
					serve(p)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return l.Addr().String()
}

// socketed runs a source that asks a server at once again after a failure, and returns a function that ends it.
func socketed(t *testing.T, config Config, m *model) (s *Source, ctx context.Context, stop func()) {
	t.Helper()
	config.Requestor = requestor.Config{ClientID: ownID, MinBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond}
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, m) }()
	return s, ctx, sync.OnceFunc(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v, want the end of its context", err)
		}
	})
}

// alone tells that the requestor has said nothing more: some servers lose what comes before they have answered.
func (p *peer) alone() bool {
	p.t.Helper()
	if err := p.conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		p.t.Error(err)
	}
	var one [1]byte
	n, err := p.conn.Read(one[:])
	if n > 0 || !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
		p.t.Errorf("%d octets more before the answer, %v", n, err)
		return false
	}
	return p.conn.SetReadDeadline(time.Time{}) == nil
}

func isTimeout(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout()
}

// What deployed servers do otherwise than ours, over sockets. Each is asked by two relays.
func TestPeculiarServers(t *testing.T) {
	c, d := with(of("c", 30), na, 5000, 9000), with(of("d", 0), nb, 5000, 9000)
	for name, tc := range map[string]struct {
		serve   func(p *peer)
		active  bool
		held    []netip.Addr
		trouble string
		ends    bool
	}{
		"one query at a time": {serve: func(p *peer) {
			_ = p.alone() && p.clients(100, c) && p.done(base(100))
		}, held: []netip.Addr{na}, ends: true},
		"octet by octet": {serve: func(p *peer) {
			p.conn = dribbling{p.conn}
			_ = p.clients(100, c, d) && p.done(base(100))
		}, held: []netip.Addr{na, nb}, ends: true},
		"neither base time nor relay data": {serve: func(p *peer) {
			_ = p.reply(holds(&c)) && p.data(holds(&d)) && p.done()
		}, held: []netip.Addr{na, nb}, ends: true},
		"one lease a message, in hundreds": {serve: func(p *peer) {
			_ = p.clients(100, c)
			for i := range 500 {
				p.data(base(100), holds(&c))
				if i == 250 {
					p.data(base(100), holds(&d))
				}
			}
			p.done(base(100))
		}, held: []netip.Addr{na, nb}, ends: true},
		"data behind the end": {serve: func(p *peer) {
			_ = p.clients(100, c) && p.done(base(100)) && p.data(base(100), holds(&d))
		}, held: []netip.Addr{na}, ends: true},
		"an empty answer with status and end": {serve: func(p *peer) {
			_ = p.reply(must(dhcpv6.StatusCode{Status: dhcpv6.StatusSuccess, Text: "nothing"})) && p.done()
		}, ends: true},
		"options of its own": {serve: func(p *peer) {
			own := must(dhcpv6.InterfaceID("x"))
			p.reply(own, base(100), join(holds(&c)), own)
			p.data(own, own, holds(&d))
			p.done(own)
		}, held: []netip.Addr{na, nb}, ends: true},
		"QueryTerminated in the end": {serve: func(p *peer) {
			_ = p.clients(100, c) && p.done(status(dhcpv6.StatusQueryTerminated))
		}, held: []netip.Addr{na}, trouble: "QueryTerminated"},
		"QueryTerminated at once": {serve: func(p *peer) { p.reply(status(dhcpv6.StatusQueryTerminated)) }, trouble: "QueryTerminated"},
		"active leasequery is not supported": {active: true, serve: func(p *peer) {
			if p.asked.Type == dhcpv6.MessageActiveLeasequery {
				p.reply(status(dhcpv6.StatusNotSupported))
				return
			}
			_ = p.clients(100, c) && p.done(base(100))
		}, held: []netip.Addr{na}, trouble: "NotSupported", ends: true},
		"active leasequery is closed in silence": {active: true, serve: func(p *peer) {
			if p.asked.Type != dhcpv6.MessageActiveLeasequery {
				_ = p.clients(100, c) && p.done(base(100))
			}
		}, held: []netip.Addr{na}, trouble: "everything is asked for instead", ends: true},
	} {
		t.Run(name, func(t *testing.T) {
			address := listen(t, tc.serve)
			m := newModel(t)
			s, ctx, stop := socketed(t, Config{Servers: []string{address}, RelayIDs: [][]byte{[]byte("x"), []byte("y")}, Active: tc.active}, m)
			defer stop()
			m.until(ctx, "it is asked", func() bool { return m.has(tc.held...) && (m.ends() > 0) == tc.ends && m.number > 0 })
			for got := "-"; !strings.Contains(got, tc.trouble) || (got == "") != (tc.trouble == ""); got = s.Condition().Trouble {
				select {
				case <-ctx.Done():
					t.Fatalf("trouble %q, want %q in it", got, tc.trouble)
				case <-time.After(time.Millisecond):
				}
			}
			if h, ok := m.heldNow(na); ok && tc.ends && (h.valid != 9030 || h.preferred != 5030) {
				t.Errorf("%+v", h)
			}
		})
	}
}

// heldNow is what the model has of an address.
func (m *model) heldNow(a netip.Addr) (held, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h, ok := m.held[placeOf(netip.PrefixFrom(a, 128), false)]
	return h, ok
}

// dribbling is a connection on which each octet is sent by itself.
type dribbling struct{ net.Conn }

func (d dribbling) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		_, err = d.Conn.Write(b[n : n+1])
		n++
	}
	return n, err
}

// A server that says more behind the end of an answer than it should, on the connection that the next query would go on.
func TestSeveralQueriesToAPeculiarServer(t *testing.T) {
	c, d := with(of("c", 30), na, 5000, 9000), with(of("d", 0), far, 5000, 9000)
	address := listen(t, func(p *peer) {
		if p.asked.Type == dhcpv6.MessageActiveLeasequery {
			if p.reply(base(100)) {
				p.gone()
			}
			return
		}
		for ok := true; ok; {
			query, _ := p.asked.Options.First(dhcpv6.OptionLQQuery)
			found := c
			if query[1+5] == 0 { // 2001:db8::, not 2001:db8:1::
				found = d
			}
			ok = p.clients(101, found) && p.done(base(101)) && p.data(base(101), holds(&found)) && p.read()
		}
	})
	m := newModel(t)
	config := Config{Servers: []string{address}, Links: twoLinks.Links, Active: true, Everything: true}
	s, ctx, stop := socketed(t, config, m)
	defer stop()
	m.until(ctx, "everything was told", func() bool { return m.ends() > 0 })
	if h, _ := m.heldNow(far); h.duid != "d" || s.Condition().Trouble != "" {
		t.Errorf("%+v, trouble %q", h, s.Condition().Trouble)
	}
}
