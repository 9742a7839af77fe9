//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

// soakChapter is how long faults go on before all is mended and everything is checked.
const soakChapter = 8 * time.Second

// soakChapters is how many chapters a cluster has. Here addresses change hands without end, and a state keeps the end of a
// binding as long as that was to live: a cluster that goes on for long is busy with those alone.
const soakChapters = 5

// TestRandomFaultsOfProcesses runs real nodes, each on a host of its own, while faults are drawn by chance: kill -9, SIGSTOP, a
// planned stop, wires cut in one direction or both, all killed at once; LEASEHOLD_SOAK says for how long. Feeders write and
// requestors ask each node by itself all the time. At the end of each chapter everything is mended; then every history must be
// linearizable, all that was acknowledged must be there on every node, and all nodes have one state hash.
//
// A node whose read.max_staleness is not 0 answers from a proof of freshness when it has waited read.hold for a leader, and
// does not say when it did: there every read is taken for one that may be as old as read.max_staleness before its call. The
// other half of the time it is 0: then every answer was proven, and every read is strict.
func TestRandomFaultsOfProcesses(t *testing.T) {
	t.Parallel()
	seed := clustertest.Seed(t)
	for i, tc := range []struct {
		name  string
		bound time.Duration
	}{{"proven", 0}, {"bounded", 3 * time.Second}} {
		for begin, n := time.Now(), uint64(0); time.Since(begin) < clustertest.SoakFor(t, 16*time.Second)/2 && !t.Failed(); n += soakChapters {
			t.Run(tc.name, func(t *testing.T) {
				f := newFaultLab(t, seed+n+uint64(i)<<32, tc.bound)
				for chapter := uint64(0); chapter < soakChapters && time.Since(begin) < clustertest.SoakFor(t, 16*time.Second)/2 && !t.Failed(); chapter++ {
					f.chapter(seed + n + chapter)
				}
				t.Logf("%d batches acknowledged, %d queries answered, %d refused, %d sessions or connections broken",
					f.soak.writes.Load(), f.soak.reads.Load(), f.soak.refused.Load(), f.soak.broken.Load())
			})
		}
	}
}

// faultLab is a cluster on hosts of its own under random faults.
type faultLab struct {
	t    *testing.T
	c    *nsCluster
	rng  *rand.Rand
	soak *soak
}

func newFaultLab(t *testing.T, seed uint64, bound time.Duration) *faultLab {
	f := &faultLab{t: t, rng: rand.New(rand.NewPCG(seed, 1))}
	f.c = startNSCluster(t, 3, "read.hold=1s", "read.max_staleness="+bound.String(), "raft.heartbeat_timeout=500ms", "raft.election_timeout=500ms",
		"raft.leader_lease=400ms", "raft.snapshot_bytes=262144", "raft.snapshot_threshold=500", "raft.trailing_logs=50", "drain={delay: 0s, timeout: 1s}")
	clients := f.c.Lab.Host("clients")
	target := soakTarget{bound: bound, dial: grpcFrom(clients), requestor: nsRequestor(clients)}
	for _, n := range f.c.Nodes {
		target.servers = append(target.servers, soakServer{name: n.Name, grpc: n.GRPC, leasequery: n.Leasequery})
	}
	f.soak = newSoak(t, target)
	return f
}

// chapter disturbs the cluster for a while under the clients' load, mends it and checks everything.
func (f *faultLab) chapter(seed uint64) {
	clients := f.soak.start(seed)
	for until := time.Now().Add(soakChapter); time.Now().Before(until) && !f.t.Failed(); {
		fault := processFaults[f.rng.IntN(len(processFaults))]
		f.t.Logf("%s %s", time.Now().Format("05.000"), fault.name)
		fault.do(f)
		<-time.After(time.Duration(500+f.rng.IntN(2000)) * time.Millisecond)
		if f.rng.IntN(4) > 0 { // else the next thing comes on top
			f.mend()
			<-time.After(time.Duration(f.rng.IntN(1000)) * time.Millisecond)
		}
	}
	f.mend()
	mended := time.Now()
	f.awaitReady()
	ready := time.Since(mended)
	f.soak.requireProgress()
	f.t.Logf("all ready %v after the last fault, all clients served after %v", ready.Round(time.Millisecond), time.Since(mended).Round(time.Millisecond))
	clients.finish(f.requireSameState)
}

// mend undoes every fault and does not wait.
func (f *faultLab) mend() {
	f.c.Lab.Heal()
	for _, n := range f.c.Nodes {
		if n.Running() {
			n.Thaw()
		} else {
			n.Start()
		}
	}
}

// awaitReady waits until all nodes are ready. One that hangs is made to say what its goroutines do.
func (f *faultLab) awaitReady() {
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	for _, n := range f.c.Nodes {
		for n.Ready(ctx) != nil && ctx.Err() == nil && n.Running() {
			<-time.After(20 * time.Millisecond)
		}
		if ctx.Err() == nil && n.Running() {
			continue
		}
		state, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.PID())) // empty if it has ended
		n.Signal(syscall.SIGQUIT)
		<-n.Done()
		f.t.Fatalf("%s is not ready (%s): %s", n.Name, state, n.Output())
	}
}

// requireSameState waits until all nodes have one state hash and tells how many bindings there are.
func (f *faultLab) requireSameState() uint64 {
	ctx := deadline(f.t, time.Minute)
	var last []*adminv1.NodeStatus
	until(f.t, ctx, "all nodes have one state", func() bool {
		call, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		r, err := f.c.Nodes[0].Admin(f.t).Status(call, &adminv1.StatusRequest{StateHash: true})
		if err != nil || len(r.GetNodes()) != len(f.c.Nodes) {
			return false
		}
		last = r.GetNodes()
		for _, n := range last {
			if n.GetStateHash() == "" || n.GetStateHash() != last[0].GetStateHash() {
				return false
			}
		}
		return true
	})
	return last[0].GetBindings()
}

// processFault is one thing that may go wrong.
type processFault struct {
	name string
	do   func(*faultLab)
}

var processFaults = []processFault{
	{"kill -9 of the leader", func(f *faultLab) { f.leader().Kill() }},
	{"kill -9", func(f *faultLab) { f.any().Kill() }},
	{"kill -9 of two", func(f *faultLab) {
		spared := f.any()
		for _, n := range f.c.Nodes {
			if n != spared {
				n.Kill()
			}
		}
	}},
	{"kill -9 of all", func(f *faultLab) {
		for _, n := range f.c.Nodes {
			n.Kill()
		}
	}},
	{"planned stop", func(f *faultLab) { f.any().Stop(20 * time.Second) }},
	{"leader frozen", func(f *faultLab) { f.freeze(f.leader()) }},
	{"leader frozen", func(f *faultLab) { f.freeze(f.leader()) }},
	{"node frozen", func(f *faultLab) { f.freeze(f.any()) }},
	{"all frozen", func(f *faultLab) {
		for _, n := range f.c.Nodes {
			f.freeze(n)
		}
	}},
	{"leader cut off", func(f *faultLab) { f.cut(f.leader(), true, true) }},
	{"leader is not heard", func(f *faultLab) { f.cut(f.leader(), true, false) }},
	{"leader does not hear", func(f *faultLab) { f.cut(f.leader(), false, true) }},
	{"node is not heard", func(f *faultLab) { f.cut(f.any(), true, false) }},
	{"node does not hear", func(f *faultLab) { f.cut(f.any(), false, true) }},
	{"bridge", func(f *faultLab) {
		i := f.rng.IntN(3)
		f.c.Lab.CutBoth(f.c.Nodes[i].Host, f.c.Nodes[(i+1)%3].Host)
	}},
	{"ring of one-way cuts", func(f *faultLab) {
		for i := range 3 {
			f.c.Lab.Cut(f.c.Nodes[i].Host, f.c.Nodes[(i+1)%3].Host)
		}
	}},
	{"power of a host", func(f *faultLab) { f.c.Lab.Isolate(f.any().Host) }},
}

func (f *faultLab) any() *nsNode { return f.c.Nodes[f.rng.IntN(len(f.c.Nodes))] }

// leader is a node that says that it leads, or any if none does soon.
func (f *faultLab) leader() *nsNode {
	ctx, cancel := context.WithTimeout(f.t.Context(), 500*time.Millisecond)
	defer cancel()
	for _, n := range f.c.Nodes {
		if r, err := n.Admin(f.t).Status(ctx, &adminv1.StatusRequest{}); err == nil && r.GetLeader() == n.Name {
			return n
		}
	}
	return f.any()
}

// freeze stops a process for 0.5 to 5 s, or until all is mended.
func (f *faultLab) freeze(n *nsNode) {
	p := n.Process
	p.Freeze()
	time.AfterFunc(time.Duration(500+f.rng.IntN(4500))*time.Millisecond, func() {
		if p.Running() {
			p.Thaw()
		}
	})
}

// cut cuts a node's wires to the other nodes, not those to the clients.
func (f *faultLab) cut(n *nsNode, out, in bool) {
	for _, other := range f.c.Nodes {
		if other == n {
			continue
		}
		if out {
			f.c.Lab.Cut(n.Host, other.Host)
		}
		if in {
			f.c.Lab.Cut(other.Host, n.Host)
		}
	}
}
