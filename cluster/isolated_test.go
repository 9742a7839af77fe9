package cluster_test

import (
	"sync"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
)

// TestIsolatedIsTold: a node that reaches no majority says so long before its answers are too old, leader or follower; those who
// only lack a leader stay ready.
func TestIsolatedIsTold(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Config: func(_ int, c *cluster.Config) { c.MaxStaleness = time.Hour }})
	for _, leads := range []bool{false, true} {
		leader, followers := c.Leader(), c.Followers()
		alone, others := followers[0], []*clustertest.Member{followers[1], leader}
		if leads {
			alone, others = leader, followers
		}
		for _, m := range []*clustertest.Member{alone, others[0], others[1]} {
			follow(t, m.Node(), "ready", none)
		}
		c.Partition([]int{alone.Index}, []int{others[0].Index, others[1].Index})
		stop := requireReady(t, others...) // also during the election, if there is one
		follow(t, alone.Node(), "isolated", has("isolated"))
		if age, _ := alone.Node().Fresh(); age > time.Minute {
			t.Errorf("told when the newest proof was %v old", age)
		}
		stop()
		c.Heal()
		follow(t, alone.Node(), "ready again", none)
	}
}

// requireReady fails the test if one of the nodes ever is not ready until the function that it returns is called.
func requireReady(t *testing.T, members ...*clustertest.Member) (stop func()) {
	over := make(chan struct{})
	var watching sync.WaitGroup
	for _, m := range members {
		n := m.Node()
		watching.Go(func() {
			for {
				changed := n.ReadinessChanged()
				if reasons := n.Reasons(); !none(reasons) {
					t.Errorf("a node that reaches a majority is not ready: %q", reasons)
				}
				select {
				case <-changed:
				case <-over:
					return
				}
			}
		})
	}
	return func() { close(over); watching.Wait() }
}
