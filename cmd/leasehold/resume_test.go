package main

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// TestResumeByBaseTime: a subscriber that goes on from a base time is told what changed in that second and since, at every node: all of it,
// and nothing older. One that comes from the future is told that data is missing, and ends with what the cluster has. Then the cluster is
// lost, restored from a snapshot, and has forgotten what subscribers were told: each of them finds out, whatever base time it has, and
// ends with exactly what the cluster has, also the one that never stopped.
func TestResumeByBaseTime(t *testing.T) {
	t.Parallel()
	r := startResumption(t)
	first := r.serve(t, func() { r.server.grant(0, 20) })
	second := r.serve(t, func() { r.server.grant(3, 5); r.server.release(7); r.server.reassign(8, 30) })
	third := r.serve(t, func() { r.server.grant(20, 22); r.server.release(9); r.server.grant(3, 4) })
	base := r.newestSecond(t, second)
	if !r.changedSince(t, base)[second] || r.changedSince(t, base)[first] || r.changedSince(t, base+1)[second] || !r.changedSince(t, base+1)[third] {
		t.Fatalf("the batches are not told apart by %d", base)
	}
	for _, n := range r.c.Nodes {
		for _, from := range []uint32{base - 1, base, base + 1} {
			r.requireCatchesUp(t, n, from)
		}
		r.requireMissing(t, n, base+3600)
	}
	t.Logf("resumed from base time %d; since then %d clients have changed, %d since the second behind it", base, len(r.changedSince(t, base)), len(r.changedSince(t, base+1)))
	r.requireRestored(t, base)
}

// TestRecoveryIsToldToSubscribers: one node of three goes on. Base times of before are told that data is missing, and the feeder, which
// never stopped, feeds everything again.
func TestRecoveryIsToldToSubscribers(t *testing.T) {
	t.Parallel()
	r := startResumption(t)
	r.serve(t, func() { r.server.grant(0, 20) })
	onlooker := r.follow(t)
	epoch := epochOf(t, r.c.Nodes[0], "scripted")
	heard := onlooker.newest()
	r.awaitSecond(t)
	for _, n := range r.c.Nodes {
		must(t, n.Kill())
	}
	survivor := r.c.Nodes[0]
	requireRun(t, "recover", "--config", survivor.Config, "--lost", "node2", "--lost", "node3")
	must(t, survivor.Start())
	must(t, survivor.AwaitReady(deadline(t, time.Minute)))
	until(t, deadline(t, time.Minute), "the feeder begins anew", func() bool { return epochOf(t, survivor, "scripted") != epoch })
	r.requireMissing(t, survivor, heard)
	onlooker.requireHas(t, survivor)
	if onlooker.missing.Load() == 0 {
		t.Error("the onlooker was not told that data was missing")
	}
	onlooker.stop(t)
}

// requireRestored saves the cluster, changes more, loses it and restores it.
func (r *resumption) requireRestored(t *testing.T, base uint32) {
	t.Helper()
	onlooker := r.follow(t)
	file := filepath.Join(t.TempDir(), "state")
	requireRun(t, "snapshot", "save", file, "--cluster", r.c.Nodes[0].GRPC)
	saved := r.clock(t)
	r.awaitSecond(t)
	r.serve(t, func() { r.server.grant(40, 45); r.server.release(12); r.server.reassign(13, 41) })
	onlooker.requireHas(t, r.c.Nodes[0])
	heard := onlooker.newest()
	if heard <= saved {
		t.Fatalf("the onlooker has heard of %d, the snapshot is of %d", heard, saved)
	}
	r.stopFeeding(t) // the DHCP server is not there when the cluster comes back
	for _, n := range r.c.Nodes {
		must(t, n.Kill())
		must(t, n.Wipe())
	}
	first := r.c.Nodes[2]
	requireRun(t, "snapshot", "restore", file, "--config", first.Config)
	must(t, first.Start())
	must(t, first.AwaitReady(deadline(t, time.Minute)))
	for _, n := range r.c.Nodes[:2] {
		must(t, n.Start())
	}
	must(t, r.c.AwaitReady(deadline(t, time.Minute)))
	onlooker.requireHas(t, first)
	for i, from := range []uint32{base, saved, saved + 1, heard} {
		r.requireMissing(t, r.c.Nodes[i%3], from)
	}
	now := r.clock(t)
	r.startFeeding(t) // and then it is, and brings back what was lost
	r.await(t)
	onlooker.requireHas(t, r.c.Nodes[1])
	for _, n := range r.c.Nodes {
		r.requireCatchesUp(t, n, now)
	}
	if onlooker.missing.Load() == 0 {
		t.Error("the onlooker was not told that data was missing")
	}
	onlooker.stop(t)
}

// requireCatchesUp subscribes from a base time: told is every client that has changed since, as it is now, and nobody else.
func (r *resumption) requireCatchesUp(t *testing.T, n *laptop.Node, from uint32) {
	t.Helper()
	want := r.changedSince(t, from)
	told, truth := map[string]bool{}, r.server.holders()
	seen := map[netip.Addr]string{}
	r.subscribe(t, n, from, func(e *requestor.Event) bool {
		switch e.Kind {
		case requestor.EventDataMissing:
			t.Errorf("%s, from %d: data is missing", n.Name, from)
			return true
		case requestor.EventChange:
			if e.BaseTime < from || e.HasResume && e.Resume < from {
				t.Errorf("%s, from %d: told at %d, to go on from %d", n.Name, from, e.BaseTime, e.Resume)
			}
			told[string(e.Client.DUID)] = true
			for _, a := range e.Client.Addresses {
				if holder := truth[a.Address]; (a.Valid > 0) != (holder == string(e.Client.DUID)) {
					t.Errorf("%s, from %d: %v of %x is told with %d, %x holds it", n.Name, from, a.Address, e.Client.DUID, a.Valid, holder)
				}
				if a.Valid > 0 {
					seen[a.Address] = string(e.Client.DUID)
				}
			}
		}
		return e.Kind == requestor.EventCatchUpComplete
	})
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("%s, from %d: clients (-changed since +told):\n%s", n.Name, from, diff)
	}
	maps.DeleteFunc(truth, func(_ netip.Addr, duid string) bool { return !want[duid] })
	if !maps.Equal(truth, seen) {
		t.Errorf("%s, from %d: addresses told %v, want %v", n.Name, from, seen, truth)
	}
}

// requireMissing subscribes from a base time that the cluster cannot go on from, knowing something that is not so: it is told that data
// is missing, and ends with what the cluster has.
func (r *resumption) requireMissing(t *testing.T, n *laptop.Node, from uint32) {
	t.Helper()
	table, missing := requestor.NewReplica(0), 0
	r.subscribeInto(t, n, table, from, func(e *requestor.Event) bool {
		if e.Kind == requestor.EventDataMissing {
			missing++
		}
		return e.Kind == requestor.EventCatchUpComplete && e.Recovered
	})
	if missing != 1 {
		t.Errorf("%s, from %d: told %d times that data is missing, want once", n.Name, from, missing)
	}
	requireSameHoldings(t, n.Name, table, r.state(t, n))
}

// onlooker is a subscriber that goes on whatever becomes of the cluster.
type onlooker struct {
	*resumption
	table   *requestor.Replica
	cancel  context.CancelFunc
	ended   chan error
	missing atomic.Int64
}

// follow begins an onlooker, which knows everything when it returns.
func (r *resumption) follow(t *testing.T) *onlooker {
	t.Helper()
	f := &onlooker{resumption: r, table: requestor.NewReplica(0), ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	q := requestor.ActiveQuery{Query: r.query, Full: true, Table: f.table}
	whole := make(chan struct{}, 10)
	go func() {
		f.ended <- requestor.Watch(ctx, r.c.Leasequery(), r.config, q, func(e *requestor.Event) error {
			switch e.Kind {
			case requestor.EventDataMissing:
				f.missing.Add(1)
			case requestor.EventCatchUpComplete:
				select {
				case whole <- struct{}{}:
				default:
				}
			}
			return nil
		})
	}()
	t.Cleanup(cancel)
	select {
	case <-whole:
	case err := <-f.ended:
		t.Fatalf("follow: %v", err)
	case <-deadline(t, time.Minute).Done():
		t.Fatal("the onlooker does not come to know everything")
	}
	f.requireHas(t, r.c.Nodes[0])
	return f
}

// newest is the base time of the newest message that the onlooker heard.
func (f *onlooker) newest() uint32 {
	base, _ := f.table.Base()
	return base
}

// requireHas waits until the onlooker knows exactly what a node has.
func (f *onlooker) requireHas(t *testing.T, n *laptop.Node) {
	t.Helper()
	want := f.state(t, n)
	ctx := deadline(t, time.Minute)
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		if sameHoldings(f.table, want) {
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case err := <-f.ended:
			t.Fatalf("the onlooker has ended: %v", err)
		case <-ctx.Done():
			requireSameHoldings(t, "the onlooker of "+n.Name, f.table, want)
			t.FailNow()
		}
	}
}

func (f *onlooker) stop(t *testing.T) {
	t.Helper()
	f.cancel()
	if err := <-f.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the onlooker ended with %v", err)
	}
}

// owner is who has what, without times.
type owner struct {
	Prefix netip.Prefix
	DUID   string
}

func owners(table *requestor.Replica) []owner {
	var out []owner
	for _, h := range table.Holdings() {
		out = append(out, owner{h.Prefix, h.DUID})
	}
	return out
}

func sameHoldings(got, want *requestor.Replica) bool { return slices.Equal(owners(got), owners(want)) }

// requireSameHoldings compares who has what, and until when, in whole seconds that were rounded twice.
func requireSameHoldings(t *testing.T, who string, got, want *requestor.Replica) {
	t.Helper()
	near := cmp.Comparer(func(a, b int64) bool { return a-b <= 2 && b-a <= 2 })
	prefix := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	if diff := cmp.Diff(want.Holdings(), got.Holdings(), near, prefix); diff != "" {
		t.Errorf("%s (-cluster +subscriber):\n%s", who, diff)
	}
}

// ask asks a node, and tells of each client of the answer.
func (r *resumption) ask(t *testing.T, n *laptop.Node, q requestor.Query, each func(*requestor.Client) error) {
	t.Helper()
	ctx := deadline(t, time.Minute)
	conn, err := requestor.Dial(ctx, n.LeasequeryTCP, r.config)
	must(t, err)
	defer conn.Close()
	if err := conn.Query(ctx, q, each); err != nil {
		t.Fatalf("query %s: %v", n.Name, err)
	}
}

// state is what a node has.
func (r *resumption) state(t *testing.T, n *laptop.Node) *requestor.Replica {
	t.Helper()
	table, q := requestor.NewReplica(0), r.query
	q.BaseTime = true
	r.ask(t, n, q, func(c *requestor.Client) error {
		return table.Apply(&requestor.Event{Kind: requestor.EventChange, Client: c, HasBaseTime: c.HasBaseTime, BaseTime: c.BaseTime})
	})
	return table
}

// changedSince is the clients that changed in a second or later, as a bulk query with times has them (RFC 7653 6.3.2).
func (r *resumption) changedSince(t *testing.T, from uint32) map[string]bool {
	t.Helper()
	clients, q := map[string]bool{}, r.query
	q.StartTime = &from
	r.ask(t, r.c.Nodes[0], q, func(c *requestor.Client) error {
		clients[string(c.DUID)] = true
		return nil
	})
	return clients
}

// newestSecond is the second in which a client changed last.
func (r *resumption) newestSecond(t *testing.T, duid string) uint32 {
	t.Helper()
	second := r.clock(t)
	for begin := second; !r.changedSince(t, second)[duid]; second-- {
		if second < begin-100 {
			t.Fatalf("client %x has not changed for 100 s", duid)
		}
	}
	return second
}

// subscribe subscribes at a node until done.
func (r *resumption) subscribe(t *testing.T, n *laptop.Node, from uint32, done func(*requestor.Event) bool) {
	t.Helper()
	r.subscribeInto(t, n, nil, from, done)
}

func (r *resumption) subscribeInto(t *testing.T, n *laptop.Node, table *requestor.Replica, from uint32, done func(*requestor.Event) bool) {
	t.Helper()
	q := requestor.ActiveQuery{Query: r.query, Table: table}
	q.StartTime = &from
	enough := errors.New("enough")
	err := requestor.Watch(deadline(t, time.Minute), []string{n.LeasequeryTCP}, r.config, q, func(e *requestor.Event) error {
		if done(e) {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatalf("%s, from %d: %v", n.Name, from, err)
	}
}
