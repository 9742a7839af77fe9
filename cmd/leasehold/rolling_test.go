package main

import (
	"testing"
	"time"

	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

// stopTime is how long a node may take to stop in order.
const stopTime = 30 * time.Second

// restart stops a node in order, and starts it again once it has ended.
func restart(t *testing.T, n *laptop.Node, leads bool) {
	t.Helper()
	began := time.Now()
	if err := n.Stop(stopTime); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	if err := n.AwaitReady(deadline(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s restarted (leader: %v): stopped in %v, ready %v later", n.Name, leads, stopped.Sub(began).Round(time.Millisecond), time.Since(stopped).Round(time.Millisecond))
}

// leaderOf is the node that leads, as the first one says.
func leaderOf(t *testing.T, c *laptop.Cluster) *laptop.Node {
	t.Helper()
	var leader *laptop.Node
	ctx := deadline(t, time.Minute)
	until(t, ctx, "there is a leader", func() bool {
		r, err := adminOf(t, c.Nodes[0]).Status(ctx, &adminv1.StatusRequest{})
		if err != nil {
			return false
		}
		for _, n := range c.Nodes {
			if n.Name == r.GetLeader() {
				leader = n
			}
		}
		return leader != nil
	})
	return leader
}

// TestRollingRestart stops and starts all nodes, one after the other, the leader among them, while requestors ask and feeders
// feed all the time.
func TestRollingRestart(t *testing.T) {
	c := startCluster(t, 3, "drain={delay: 1s, timeout: 2s}", "bulk.max_connections=100")
	l := startLoad(t, c, 10*time.Minute)
	for range roundsOf(t, 1) {
		for _, n := range c.Nodes {
			restart(t, n, n == leaderOf(t, c))
		}
	}
	l.finish()
}
