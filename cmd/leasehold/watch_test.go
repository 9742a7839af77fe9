package main

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// followed is a cluster that lets requestors subscribe in clear, fed from a file.
func followed(t *testing.T, nodes int, set ...string) (*laptop.Cluster, *keaFile) {
	t.Helper()
	c := startCluster(t, nodes, append([]string{"active.enabled=true", "active.insecure=true", "bulk.max_connections=100"}, set...)...)
	f := newKeaFile(t)
	for i := range 20 {
		f.grant(i, i, 7200, i%2 == 0)
	}
	f.feed(t, c.GRPC()...)
	return c, f
}

// TestWatchGoesOnElsewhere: what was there, what is granted, renewed, reassigned and ended is told; when the server is killed the
// subscription goes on at another, and a later one goes on from the base time that it was told at its end. Nothing is missing then.
func TestWatchGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	c, f := followed(t, 3)
	w := startWatch(t, nil, c.Leasequery(), "link-address", watchedLink, "--full")
	w.follows(f)
	w.until("catch-up-complete", func() bool { return len(w.events(kind("catch-up-complete"))) == 1 })
	f.grant(50, 50, 7200, true)
	f.grant(51, 3, 7200, false) // had by another
	f.drop(4)
	f.feed(t, c.GRPC()...)
	w.follows(f)
	killed := w.server(c)
	if err := killed.Kill(); err != nil {
		t.Fatal(err)
	}
	f.grant(52, 52, 7200, false)
	f.drop(6)
	f.feed(t, c.GRPC()...)
	w.follows(f)
	w.until("another than the killed one is followed", func() bool { return w.server(c) != killed })
	ended := w.events(kind("terminated"))
	if len(ended) != 1 || ended[0].Server != killed.LeasequeryTCP || ended[0].Reason == "" || ended[0].BaseTime == 0 {
		t.Errorf("terminated: %+v, want once, at %s with a reason and a base time", ended, killed.LeasequeryTCP)
	}
	since := w.stop()
	f.grant(53, 53, 7200, true)
	f.drop(50)
	f.feed(t, c.GRPC()...)
	later := startWatch(t, w.table, c.Leasequery(), "link-address", watchedLink, "--since", since)
	later.until("catch-up-complete", func() bool { return len(later.events(kind("catch-up-complete"))) == 1 })
	later.follows(f)
	for _, w := range []*watcher{w, later} {
		if missing := w.events(kind("data-missing")); len(missing) > 0 {
			t.Errorf("data is missing: %+v", missing)
		}
	}
	if got := later.events(func(l watchLine) bool { return l.DUID == clientDUID(51) }); len(got) > 1 { // its second may be told again
		t.Errorf("what had not changed since is told: %+v", got)
	}
}

// TestWatchRecoversMissingData: a subscriber that was without its server for longer than ends are remembered is told so, asks for all by a
// bulk query on a second connection, and tells what ended meanwhile.
func TestWatchRecoversMissingData(t *testing.T) {
	t.Parallel()
	c, f := followed(t, 3, "active.catch_up=1s")
	only := c.Nodes[0]
	w := startWatch(t, nil, []string{only.LeasequeryTCP}, "link-address", watchedLink, "--full")
	w.until("catch-up-complete", func() bool { return len(w.events(kind("catch-up-complete"))) == 1 })
	for i := range 3 {
		f.grant(30+i, 30+i, 15, i == 0) // long enough to be seen on a busy machine
	}
	f.feed(t, c.GRPC()...)
	w.follows(f)
	if err := only.Kill(); err != nil {
		t.Fatal(err)
	}
	w.until("the end of the subscription", func() bool { return len(w.events(kind("terminated"))) == 1 })
	until(t, deadline(t, time.Minute), "the short leases have run out", func() bool {
		there := listed(t, c.Nodes[1])
		return !slices.ContainsFunc([]int{30, 31, 32}, func(number int) bool {
			address, _ := keaPlaces(number)
			_, has := there[address]
			return has
		})
	})
	for i := range 3 {
		f.drop(30 + i)
	}
	f.drop(8)
	f.grant(60, 60, 7200, true)
	f.feed(t, c.GRPC()[1:]...)
	base := w.events(kind("terminated"))[0].BaseTime
	awaitForgotten(t, c.Nodes[1], base)
	if err := only.Start(); err != nil {
		t.Fatal(err)
	}
	w.until("all is recovered", func() bool {
		return len(w.events(func(l watchLine) bool { return l.Event == "catch-up-complete" && l.Recovered })) == 2
	})
	w.follows(f)
	if missing := w.events(kind("data-missing")); len(missing) != 1 || missing[0].BaseTime <= base {
		t.Errorf("data-missing: %+v, want once, behind %d", missing, base)
	}
	swept := 0
	for _, l := range w.events(func(l watchLine) bool { return l.Recovered && l.DUID == clientDUID(30) }) {
		for _, a := range l.Addresses {
			if a.Valid == 0 {
				swept++
			}
		}
	}
	if swept != 1 {
		t.Errorf("the end of what ran out meanwhile is told %d times, want once", swept)
	}
}

// awaitForgotten waits until a node no longer knows all that has changed since a base time.
func awaitForgotten(t *testing.T, n *laptop.Node, since uint32) {
	t.Helper()
	link, err := parseAddress(watchedLink)
	if err != nil {
		t.Fatal(err)
	}
	q := requestor.ActiveQuery{Query: requestor.Query{Type: 4, LinkAddress: link}}
	q.StartTime = &since
	told := errors.New("told")
	until(t, deadline(t, time.Minute), n.Name+" has forgotten", func() bool {
		var first requestor.EventKind
		err := requestor.Watch(deadline(t, time.Minute), []string{n.LeasequeryTCP}, requestor.Config{ClientID: newDUID()}, q, func(e *requestor.Event) error {
			if e.Kind == requestor.EventDataMissing || e.Kind == requestor.EventCatchUpComplete {
				first = e.Kind
				return told
			}
			return nil
		})
		if !errors.Is(err, told) {
			t.Fatal(err)
		}
		return first == requestor.EventDataMissing
	})
}

// TestWatchIsRefused: without the switches of active leasequery every server refuses, and says why.
func TestWatchIsRefused(t *testing.T) {
	t.Parallel()
	n := startCluster(t, 1).Nodes[0]
	for set, want := range map[string]string{"active.enabled=false": "NotSupported", "active.enabled=true": "NotAllowed"} {
		if err := n.Stop(time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := n.Configure(set); err != nil {
			t.Fatal(err)
		}
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		if err := n.AwaitReady(deadline(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
		status, out, errs := leasehold(t, "watch", "--server", n.LeasequeryTCP)
		if status != exitRefused || out != "" || !strings.Contains(errs, want) {
			t.Errorf("%s: status %d, want %d and %s\n%s%s", set, status, exitRefused, want, out, errs)
		}
	}
}

// TestWatchBaseTimesAreClusterTime: an idle subscription is told the time of the cluster, in seconds since 2000.
func TestWatchBaseTimesAreClusterTime(t *testing.T) {
	t.Parallel()
	c, f := followed(t, 1, "active.idle_interval=1s")
	w := startWatch(t, nil, c.Leasequery(), "link-address", watchedLink, "--full")
	w.follows(f)
	idle := func() (out []uint32) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, l := range w.lines {
			if l.Event == "idle" {
				out = append(out, l.BaseTime)
			}
		}
		return out
	}
	w.until("it is told twice that nothing has changed", func() bool { return len(idle()) >= 2 })
	told := idle()
	clock, err := strconv.ParseFloat(metricOf(t, c.Nodes[0], "leasehold_clock_seconds"), 64)
	if err != nil {
		t.Fatal(err)
	}
	if now := binding.Time(clock * 1000).BaseTime(); told[1] < told[0] || told[1] > now || now-told[1] > 60 {
		t.Errorf("base times %v, and then cluster time %d", told, now)
	}
}
