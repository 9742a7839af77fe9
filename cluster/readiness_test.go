package cluster_test

import (
	"strings"
	"testing"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
)

// follow waits, by what a node tells and never by looking again and again, until its reasons are as wanted.
func follow(t *testing.T, n *cluster.Node, what string, wanted func(reasons []string) bool) {
	t.Helper()
	ctx := deadline(t)
	for {
		changed := n.ReadinessChanged()
		reasons := n.Reasons()
		if wanted(reasons) {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("was never told that the node is %s; its reasons are now %q", what, reasons)
		}
	}
}

func has(kind string) func([]string) bool {
	return func(reasons []string) bool {
		for _, r := range reasons {
			if strings.HasPrefix(r, kind+":") {
				return true
			}
		}
		return false
	}
}

func none(reasons []string) bool { return len(reasons) == 0 }

func TestReadinessIsTold(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Config: shortHold})
	leader := c.Leader()
	followers := c.Followers()
	lost, gone := followers[0], followers[1]
	follow(t, lost.Node(), "ready", none)
	c.Partition([]int{leader.Index, gone.Index}, []int{lost.Index})
	follow(t, lost.Node(), "stale", has("stale"))
	c.Heal()
	follow(t, lost.Node(), "ready again", none)
	if err := remove(t, c, gone.Node().ID()); err != nil { // there may have been an election
		t.Fatal(err)
	}
	follow(t, gone.Node(), "removed", has("removed"))
	lost.Node().Drain()
	follow(t, lost.Node(), "draining", has("draining"))
	lost.Stop()
	follow(t, lost.Node(), "stopping", has("stopping"))
}

// TestDrainingLeaderGivesAwayAndAnswers sees that a leader that drains hands over at once, and goes on as a follower.
func TestDrainingLeaderGivesAwayAndAnswers(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Config: slowElections})
	putLease(t, c, 1, 0, 1)
	old, term := c.Leader(), c.Leader().Node().Term()
	c.Intercept(func(m clustertest.Message) error {
		if m.Kind == clustertest.RequestPreVote { // an election by timeout begins with one; a handover does not
			return clustertest.ErrDropped
		}
		return nil
	})
	waiting := c.Followers()[0]
	waiting.Node().Drain() // it is about to stop too: it is not the one to lead
	old.Node().Drain()
	c.Until("another leads the next term", func() bool {
		l := c.Leader()
		return l != old && l.Node().Term() > term
	})
	if c.Leader() == waiting {
		t.Error("leadership went to a node that drains")
	}
	putLease(t, c, 2, 1, 1)
	v, err := old.Node().View(deadline(t))
	if err != nil {
		t.Fatalf("read from a node that drains: %v", err)
	}
	defer v.Release()
	if n := bindings(t, old); n != 2 {
		t.Errorf("a node that drains has %d bindings, want 2", n)
	}
	if r := old.Node().Reasons(); !has("draining")(r) {
		t.Errorf("reasons of a node that drains: %q", r)
	}
}

// TestDrainingLeaderThatIsAloneTakesProposals sees that nothing is refused as long as nobody else could take it.
func TestDrainingLeaderThatIsAloneTakesProposals(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Voters: 1})
	c.Leader().Node().Drain()
	putLease(t, c, 1, 0, 1)
}
