//go:build linux

package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

// cuts are the ways in which a node can be parted from the others. Relays, and whoever feeds, reach all of them all the time.
var cuts = []struct {
	name string
	cut  func(l *netlab.Lab, minority, other *netlab.Host)
}{
	{"both ways", func(l *netlab.Lab, m, o *netlab.Host) { l.CutBoth(m, o) }},
	{"hears nobody", func(l *netlab.Lab, m, o *netlab.Host) { l.Cut(o, m) }},
	{"nobody hears it", func(l *netlab.Lab, m, o *netlab.Host) { l.Cut(m, o) }},
}

// TestPartition cuts a node off from the two others, a follower or the leader, in both directions or in one, while a binding
// changes hands all the time through the majority and every node is asked for it all the time.
//
// No answer of any node may be older than read.max_staleness: what it shows was still true so long before it was asked. From that
// time after the cut on the minority has no answers: each query gets QueryTerminated and the connection is closed, until the cut
// is healed. The majority side answers every query, at the latest when it is asked again.
//
// In ordinary runs the bounds are short; LEASEHOLD_ROUNDS=n goes n times through all with the default ones.
func TestPartition(t *testing.T) {
	bound, rounds := 2*time.Second, roundsOf(t, 1)
	set := []string{"read.max_staleness=2s", "read.hold=300ms"}
	if os.Getenv("LEASEHOLD_ROUNDS") != "" {
		bound, set = 10*time.Second, nil
	}
	c := startNSCluster(t, 3, set...)
	relay := c.Lab.Host("relay")
	w := newPartitionWriter(relay)
	for round := range rounds {
		for _, leads := range []bool{false, true} {
			for _, how := range cuts {
				leader := c.Leader(t)
				minority := leader
				for _, n := range c.Nodes {
					if !leads && n != leader {
						minority = n
					}
				}
				p := partition{nsCluster: c, relay: relay, writer: w, minority: minority, bound: bound}
				role := map[bool]string{false: "a follower", true: "the leader"}[leads]
				p.name = fmt.Sprintf("round %d, %s, %s", round, role, how.name)
				p.run(t, how.cut)
				if t.Failed() {
					return
				}
			}
		}
	}
}

// partition is one cut, from before it until all is well again.
type partition struct {
	*nsCluster
	name     string
	relay    *netlab.Host
	writer   *partitionWriter
	minority *nsNode
	bound    time.Duration
}

func (p *partition) majority() (out []*nsNode) {
	for _, n := range p.Nodes {
		if n != p.minority {
			out = append(out, n)
		}
	}
	return out
}

func (p *partition) run(t *testing.T, cut func(l *netlab.Lab, minority, other *netlab.Host)) {
	t.Helper()
	ctx := deadline(t, 2*time.Minute)
	p.writer.nodes = p.majority()
	asked, relayed := map[*nsNode]*asker{}, newAsker(p.relay, p.writer, p.majority()...)
	runs := []func(context.Context){relayed.run}
	for _, n := range p.Nodes {
		asked[n] = newAsker(p.relay, p.writer, n)
		asked[n].once = true
		runs = append(runs, asked[n].run)
	}
	stopWriter := startAll(t, ctx, p.writer.run)
	until(t, ctx, "something is written", func() bool { return !p.writer.written(1).IsZero() })
	stop := startAll(t, ctx, runs...)
	begun := time.Now()
	for _, n := range p.Nodes {
		until(t, ctx, n.Name+" answers", func() bool { return asked[n].count(answered, begun, never) > 2 })
	}
	for _, n := range p.majority() {
		cut(p.Lab, p.minority.Host, n.Host)
	}
	cutAt := time.Now()
	until(t, ctx, "the minority says that it is not ready", func() bool { return p.minority.Ready(ctx) != nil })
	t.Logf("%s: %v after the cut the minority is not ready (%v)", p.name, time.Since(cutAt).Round(10*time.Millisecond), p.minority.Ready(ctx))
	until(t, ctx, "the minority has refused", func() bool { return asked[p.minority].count(refused, cutAt.Add(p.bound), never) >= 3 })
	// There may have been an election: the majority is to answer with what was written after the cut.
	until(t, ctx, "the majority has gone on", func() bool { return relayed.newest().After(cutAt) })
	healAt := time.Now()
	p.Lab.Heal()
	until(t, ctx, "the minority answers again", func() bool { return asked[p.minority].count(answered, healAt, never) > 0 })
	t.Logf("%s: cut for %v, and the minority's next answer came to a query %v after the heal", p.name, healAt.Sub(cutAt).Round(time.Millisecond),
		asked[p.minority].first(answered, healAt).Round(time.Millisecond))
	p.AwaitReady(t)
	stop()
	stopWriter()
	t.Logf("%s: the minority refused from %v after the cut on; %s", p.name, asked[p.minority].first(refused, cutAt).Round(time.Millisecond), asked[p.minority])
	t.Logf("%s: a requestor of the majority: %s", p.name, relayed)
	for _, n := range p.majority() {
		t.Logf("%s: the majority's %s: %s", p.name, n.Name, asked[n])
	}
	if n := asked[p.minority].count(answered, cutAt.Add(p.bound), healAt); n > 0 {
		t.Errorf("%s: the minority answered %d queries that came later than %v after the cut", p.name, n, p.bound)
	}
	for _, a := range append(slices.Collect(maps.Values(asked)), relayed) {
		for _, o := range a.wrong(p.bound) {
			t.Errorf("%s: asked at %v after the cut: version %d, %v old, error: %v", p.name, o.begun.Sub(cutAt), o.version, o.age, o.err)
		}
	}
}
