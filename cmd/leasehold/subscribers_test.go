//go:build linux

package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest"
	"github.com/leasehold/leasehold/feed"
)

// TestSubscribersUnderFaults lets subscribers, with filters of every kind, follow a cluster of real processes whose leases change in every
// way, while nodes are killed, frozen and cut off, and subscribers begin anew at other nodes with the base time that they had. In the
// end each must know exactly what the cluster has; then everything is stated anew, and none may be told anything.
// LEASEHOLD_SUBSCRIBERS and LEASEHOLD_CHANGES say how many.
func TestSubscribersUnderFaults(t *testing.T) {
	t.Parallel()
	count, changes := amount(t, "LEASEHOLD_SUBSCRIBERS", 20), amount(t, "LEASEHOLD_CHANGES", 12000)
	seed := clustertest.Seed(t)
	f := &faultLab{t: t, rng: rand.New(rand.NewPCG(seed, 1))}
	f.c = startNSCluster(t, 3, "read.hold=1s", "read.max_staleness=3s", "raft.heartbeat_timeout=500ms", "raft.election_timeout=500ms",
		"raft.leader_lease=400ms", "raft.snapshot_bytes=4194304", "raft.snapshot_threshold=2000", "raft.trailing_logs=500", "drain={delay: 0s, timeout: 1s}",
		"active={enabled: true, insecure: true, max_subscriptions: 500, idle_interval: 1s}")
	source := newChurn(seed, 50, int64(changes))
	var running sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer running.Wait()
	defer stop()
	agent := f.c.newAgent(t, f.c.Lab.Host("server"), "churn", source)
	running.Go(func() { agent.Run(ctx) })
	until(t, deadline(t, time.Minute), "the links are known", func() bool { return agent.Totals().Links >= churnLinks })
	clients := f.c.Lab.Host("relays")
	var servers []string
	for _, n := range f.c.Nodes {
		servers = append(servers, n.Leasequery)
	}
	config := nsRequestor(clients)
	config.MinBackoff, config.MaxBackoff, config.Silence = 100*time.Millisecond, time.Second, 5*time.Second
	var all []*subscriber
	for i := range count {
		s := newSubscriber(i, f.rng, servers, config)
		all = append(all, s)
		running.Go(func() { s.run(ctx) })
	}

	for n := 0; source.changes.Load() < int64(changes) && !t.Failed(); n++ {
		fault := subscriberFaults[n%len(subscriberFaults)]
		t.Logf("%s after %d changes: %s", time.Now().Format("05.000"), source.changes.Load(), fault.name)
		fault.do(f)
		for range 1 + count/10 {
			all[f.rng.IntN(count)].again()
		}
		<-time.After(time.Duration(1000+f.rng.IntN(3000)) * time.Millisecond)
		f.mend()
		<-time.After(time.Duration(f.rng.IntN(2000)) * time.Millisecond)
	}
	f.mend()
	f.awaitReady()
	until(t, deadline(t, 2*time.Minute), "everything is acknowledged", func() bool {
		return source.changes.Load() >= int64(changes) && f.requireSameState() > 0
	})

	long := source.restate(t)
	requireBindings(t, f, long)
	var told, missing, ended, sessions int64
	for i, s := range all {
		s.requireKnows(t, servers[(i+1)%len(servers)])
		told, missing, ended, sessions = told+s.changes.Load(), missing+s.missing.Load(), ended+s.ended.Load(), sessions+s.sessions.Load()
		if n := s.partial.Load(); n > 0 {
			t.Errorf("subscriber %d recovered only partly, %d times", s.number, n)
		}
	}
	if !t.Failed() {
		requireQuiet(t, source, agent, all)
	}
	t.Logf("%d changes and %d statements of everything; %d subscribers had %d subscriptions and were told %d times of a client, %d addresses ended, %d times that data was missing",
		source.changes.Load(), source.resyncs.Load(), count, sessions, told, ended, missing)
}

// requireBindings waits until the cluster has so many bindings: what was left to run out has.
func requireBindings(t *testing.T, f *faultLab, want uint64) {
	t.Helper()
	ctx := deadline(t, 2*time.Minute)
	for got := f.requireSameState(); got != want; got = f.requireSameState() {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("the cluster has %d bindings, and %d of the server's do not run out soon", got, want)
		}
	}
}

// requireQuiet states everything anew, and wants no subscriber to be told of it.
func requireQuiet(t *testing.T, source *churn, agent *feed.Agent, all []*subscriber) {
	t.Helper()
	ctx := deadline(t, time.Minute)
	acknowledged := agent.Totals().Leases
	var told, idle, sessions []int64
	for _, s := range all {
		told, sessions = append(told, s.changes.Load()), append(sessions, s.sessions.Load())
	}
	long := source.restate(t)
	until(t, ctx, "everything stated anew is acknowledged", func() bool { return agent.Totals().Leases >= acknowledged+long })
	for _, s := range all {
		idle = append(idle, s.idle.Load())
	}
	for i, s := range all {
		until(t, ctx, "every subscriber has heard from its server", func() bool { return s.idle.Load() >= idle[i]+2 })
		if n := s.changes.Load() - told[i]; n != 0 && s.sessions.Load() > sessions[i] {
			t.Logf("subscriber %d (%v) has begun anew, and was told %d times of the second that it went on from", s.number, s.query, n)
		} else if n != 0 {
			t.Errorf("subscriber %d (%v) was told %d times of what had not changed", s.number, s.query, n)
		}
	}
}

// subscriberFaults are taken in turn.
var subscriberFaults = []processFault{
	{"kill -9 of the leader", func(f *faultLab) { f.leader().Kill() }},
	{"leader cut off", func(f *faultLab) { f.cut(f.leader(), true, true) }},
	{"node cut off", func(f *faultLab) { f.cut(f.any(), true, true) }},
	{"kill -9 of two", func(f *faultLab) {
		spared := f.any()
		for _, n := range f.c.Nodes {
			if n != spared {
				n.Kill()
			}
		}
	}},
	{"node does not hear", func(f *faultLab) { f.cut(f.any(), false, true) }},
	{"planned stop", func(f *faultLab) { f.any().Stop(20 * time.Second) }},
	{"power of a host", func(f *faultLab) { f.c.Lab.Isolate(f.any().Host) }},
	{"leader frozen", func(f *faultLab) { f.freeze(f.leader()) }},
	{"kill -9 of all", func(f *faultLab) {
		for _, n := range f.c.Nodes {
			n.Kill()
		}
	}},
}
