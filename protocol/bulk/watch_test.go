//go:build linux

package bulk

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// serveOn runs the fixture on a host of a lab until the test ends, and returns its address.
func serveOn(t *testing.T, h *netlab.Host, f *fixture) string {
	t.Helper()
	policy, err := leasequery.NewPolicy([]leasequery.Requestor{{Name: "lab", Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8:547::/64")}}})
	if err != nil {
		t.Fatal(err)
	}
	f.policy = policy
	l, err := h.Listen("tcp", h.AddrPort(547))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { f.ran <- f.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-f.ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return l.Addr().String()
}

// dialFrom connects from a host and closes when the test ends.
func dialFrom(t *testing.T, h *netlab.Host, addr string) net.Conn {
	t.Helper()
	c, err := h.Dial(t.Context(), net.Dialer{Timeout: 10 * time.Second}, "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestVanishedRequestors: a requestor that is cut off costs its place, buffers and view for seconds only, whatever it was doing;
// so does one whose connection is to an address that has left the server. One that is there and does not read keeps its
// BULK_LQ_DATA_TIMEOUT, and then gets all.
func TestVanishedRequestors(t *testing.T) {
	const many = 400_000     // of 100 octets: more than any buffer on the way
	var cases sync.WaitGroup // side by side: nearly all of their time is waiting
	defer cases.Wait()
	for name, tc := range map[string]struct {
		query []byte
		read  bool // goes on reading
		fault func(l *netlab.Lab, server, relay *netlab.Host)
		lives bool
		stall bool // its window has closed before the fault
	}{
		"cut off while it reads":                    {ask(1, many), true, func(l *netlab.Lab, s, r *netlab.Host) { l.CutBoth(s, r) }, false, false},
		"cut off in one direction, the answer's":    {ask(1, many), true, func(l *netlab.Lab, s, r *netlab.Host) { l.Cut(s, r) }, false, false},
		"cut off in one direction, the requestor's": {ask(1, many), true, func(l *netlab.Lab, s, r *netlab.Host) { l.Cut(r, s) }, false, false},
		"cut off with nothing asked":                {nil, false, func(l *netlab.Lab, s, r *netlab.Host) { l.CutBoth(s, r) }, false, false},
		"power off":                                 {ask(1, many), true, func(_ *netlab.Lab, _, r *netlab.Host) { r.LinkDown() }, false, false},
		"the server's address has left": {ask(1, many), true, func(_ *netlab.Lab, s, _ *netlab.Host) {
			s.Run("ip", "address", "del", s.Addr.String()+"/64", "dev", netlab.Interface)
		}, false, false},
		"power off after it has not read": {ask(1, many), true, func(_ *netlab.Lab, _, r *netlab.Host) { r.LinkDown() }, false, true},
		"does not read":                   {ask(1, many), false, func(*netlab.Lab, *netlab.Host, *netlab.Host) {}, true, false},
	} {
		lab := netlab.New(t)
		server, relay := lab.Host("server"), lab.Host("relay")
		f := newFixture(t, Config{}, &script{})
		c := dialFrom(t, relay, serveOn(t, server, f))
		send(t, c, tc.query)
		if tc.query != nil { // the answer has begun
			if _, err := io.ReadFull(c, make([]byte, 64<<10)); err != nil {
				t.Fatal(err)
			}
		} else {
			until(t, "the server has the connection", func() bool { return f.metric(t, MetricConnections, "") == 1 })
		}
		if tc.stall {
			sent, since := 0.0, time.Now()
			until(t, "nothing more is sent", func() bool {
				if now := f.metric(t, MetricOctets, ""); now != sent {
					sent, since = now, time.Now()
				}
				return time.Since(since) > time.Second
			})
		}
		tc.fault(lab, server, relay)
		start := time.Now()
		if tc.read {
			cases.Go(func() { io.Copy(io.Discard, c) }) // until the end: nothing tells this side
		}
		if tc.lives {
			cases.Go(func() {
				<-time.After(2 * peerTimeout)            // a pause that would end it
				rest := int64(many*102 + 2 + 4 - 64<<10) // frames of 100 octets, and LEASEQUERY-DONE
				if n, err := io.CopyN(io.Discard, c, rest); err != nil {
					t.Errorf("%s: after a pause %d octets of %d came: %v", name, n, rest, err)
				}
			})
			continue
		}
		cases.Go(func() {
			defer c.Close() // the requestor's end
			until(t, "the connection is gone", func() bool { return f.metric(t, MetricConnections, "") == 0 })
			t.Logf("%s: gone after %v", name, time.Since(start).Round(10*time.Millisecond))
			if begun, closed := f.script.begun.Load(), f.script.closed.Load(); begun != closed {
				t.Errorf("%s: %d answers begun, %d given back", name, begun, closed)
			}
		})
	}
}

// until waits for a condition; a minute ends what hangs.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.After(time.Minute)
	for !condition() {
		select {
		case <-tick.C:
		case <-end:
			t.Errorf("waited a minute until %s", what)
			return
		}
	}
}
