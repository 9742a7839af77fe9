//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

const (
	stallConnections = 1000
	stallReaders     = 250       // of the connections, that read nothing of their answers
	stallSubscribers = 250       // of the connections, that read nothing of their subscriptions
	stallRate        = 14000     // renewals a second
	stallOctets      = 256 << 10 // that a stalled reader may cost
	stallView        = 256 << 20 // that its view may keep: MaxViewPinned of protocol/bulk
)

// TestStalledReaders has a thousand connections to a node of the built program, half of which have asked for much, or subscribed to everything,
// and read nothing, while 14,000 leases are renewed a second: what a stalled one costs in buffers is 256 KiB at most, the views of the
// answers that nobody reads keep no more old state than they may, memory stays flat, and the other half is answered.
func TestStalledReaders(t *testing.T) {
	seed := clustertest.Seed(t)
	soak := os.Getenv("LEASEHOLD_SOAK") != ""
	span := clustertest.SoakFor(t, 2*time.Second)
	w := &hostileWorld{links: 20, clients: 3000} // an answer that no kernel buffers
	if soak {
		w.clients = 10000
	}
	l := newHostileLab(t, w, "bulk.max_connections=1100", "bulk.max_connections_per_requestor=1100", "bulk.max_queries_per_requestor=1100",
		"active.max_subscriptions=300", fmt.Sprintf("bulk.data_timeout=%v", span+5*time.Minute), fmt.Sprintf("active.data_timeout=%v", span+5*time.Minute),
		fmt.Sprintf("bulk.max_view_age=%v", span+5*time.Minute))
	ctx := deadline(t, span+4*time.Minute)
	feed := newRenewer(t, ctx, l.node, w)
	group := &stallGroup{lab: l, rng: rand.New(rand.NewPCG(seed, 1))}
	t.Cleanup(group.close)
	group.open(ctx, stallConnections-stallReaders-stallSubscribers, nil)
	group.ask(ctx)
	before := l.mustVitals() // connections that are idle, and have had an answer each
	stalled := group.stall(ctx, before)
	stop := startAll(t, ctx, func(ctx context.Context) {
		if err := feed.renew(ctx, stallRate); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	begin := time.Now()
	first := group.renewals(ctx, w, span/3)
	last := group.renewals(ctx, w, span*2/3)
	rate := float64(w.renewed.Load()) / time.Since(begin).Seconds()
	stop()
	group.ask(ctx)
	t.Logf("%.0f renewals/s\n  first third: %v\n       at end: %v", rate, first, last)
	requireFlat(t, "with stalled readers", first, last)
	// All of them were opened in one moment: what their views keep together is at most what one of them may.
	if kept := last.rss() - before.rss(); kept > stallView+float64(stalled)*stallOctets {
		t.Errorf("%.0f MB more than before the readers stalled: more than their buffers and one view may keep", kept/1e6)
	}
	group.close()
	after := l.requireRecovers(vitals{"go_goroutines": before["go_goroutines"], "process_open_fds": before["process_open_fds"]})
	t.Logf("        after: %v", after)
}

// stall opens the connections that read nothing, and wants none of them to cost more than it may. It returns how many they are.
func (g *stallGroup) stall(ctx context.Context, before vitals) int {
	t, w := g.lab.t, g.lab.world
	t.Helper()
	stalled := g.open(ctx, stallReaders, func(c net.Conn, link int) {
		q := dhcpv6.LQQuery{Type: dhcpv6.QueryByLinkAddress, LinkAddress: w.link(link)}
		g.send(c, framed(message(dhcpv6.MessageLeasequery, 1, optioned(q))))
	})
	stalled += g.open(ctx, stallSubscribers, func(c net.Conn, _ int) {
		g.send(c, framed(message(dhcpv6.MessageActiveLeasequery, 1, optioned(dhcpv6.StartTime(0)))))
	})
	until(t, ctx, "all connections are stalled", func() bool {
		v := g.lab.mustVitals()
		return v["leasehold_bulk_connections"] >= stallConnections && v["leasehold_bulk_queries_running"] == stallReaders && v["leasehold_active_subscriptions"] == stallSubscribers
	})
	held := g.lab.mustVitals()
	each := (held.rss() - before.rss()) / float64(stalled)
	t.Logf("%d connections, %d of them stalled: %.0f octets a stalled one, resident\n before: %v\nstalled: %v", stallConnections, stalled, each, before, held)
	if each > stallOctets {
		t.Errorf("a stalled reader costs %.0f octets, want at most %d", each, stallOctets)
	}
	return stalled
}

// stallGroup is connections to a node.
type stallGroup struct {
	lab  *hostileLab
	rng  *rand.Rand
	kept []net.Conn // those that are idle, or ask
	all  []net.Conn
}

// open opens connections and says something on each, if begin is not nil; those read nothing.
func (g *stallGroup) open(ctx context.Context, n int, begin func(c net.Conn, link int)) int {
	g.lab.t.Helper()
	for i := range n {
		c, err := g.lab.bad.Dial(ctx, net.Dialer{}, "tcp6", g.lab.node.Leasequery)
		if err != nil {
			g.lab.t.Fatalf("connection %d: %v", len(g.all), err)
		}
		g.all = append(g.all, c)
		if begin == nil {
			g.kept = append(g.kept, c)
			continue
		}
		small(c.(*net.TCPConn))
		begin(c, i%g.lab.world.links)
	}
	return n
}

func (g *stallGroup) send(c net.Conn, b []byte) {
	g.lab.t.Helper()
	if _, err := c.Write(b); err != nil {
		g.lab.t.Errorf("send: %v", err)
	}
}

// ask wants an answer on every connection that reads.
func (g *stallGroup) ask(ctx context.Context) {
	g.lab.t.Helper()
	e := newEnemy(ctx, g.lab, g.rng.Uint64(), 0, nil, -1, nil)
	for i, c := range g.kept {
		g.send(c, e.query(i, false))
		if n, err := g.lab.leaseCount(c, 1); err != nil || n != 1 {
			g.lab.t.Fatalf("on connection %d: %d clients, %v", i, n, err)
		}
	}
}

// renewals lets time pass, in which leases are renewed, and wants answers all the while.
func (g *stallGroup) renewals(ctx context.Context, w *hostileWorld, d time.Duration) vitals {
	g.lab.t.Helper()
	at := w.renewed.Load()
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		g.ask(ctx)
		select {
		case <-timer.C:
			if w.renewed.Load() == at {
				g.lab.t.Error("nothing was renewed")
			}
			return g.lab.mustVitals()
		case <-ctx.Done():
			g.lab.t.Fatal(ctx.Err())
		default:
		}
	}
}

// close breaks off the connections that do not read.
func (g *stallGroup) close() {
	var closing sync.WaitGroup
	for _, c := range g.all[min(len(g.kept), len(g.all)):] {
		closing.Go(func() {
			_ = c.(*net.TCPConn).SetLinger(0) // closing resets
			if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
				g.lab.t.Error(err)
			}
		})
	}
	closing.Wait()
}
