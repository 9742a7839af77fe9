package cluster_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
)

func shortHold(_ int, c *cluster.Config) {
	c.ReadHold, c.MaxStaleness = 200*time.Millisecond, time.Second
}

// TestMinorityRefusesReads puts the leader alone. It may believe for a while that it leads, but proves no read index, and once
// its proof of freshness has grown too old it shows nothing.
func TestMinorityRefusesReads(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Config: shortHold})
	putLease(t, c, 1, 0, 10)
	old := c.Leader()
	rest := c.Followers()
	c.Partition([]int{old.Index}, []int{rest[0].Index, rest[1].Index})
	if ri, err := old.Node().ServeReadIndex(deadline(t), ""); err == nil {
		t.Errorf("a leader alone proves read index %d", ri.Index)
	}
	if _, err := old.Node().ReadIndex(deadline(t)); err == nil {
		t.Error("a node alone gets a read index")
	}
	// While the proof is young it answers without a leader.
	if age, ok := old.Node().Fresh(); ok && age < 500*time.Millisecond {
		if v, err := old.Node().View(deadline(t)); err == nil {
			v.Release()
		} else if !errors.Is(err, cluster.ErrNotFresh) {
			t.Errorf("view without a leader: %v", err)
		}
	}
	c.Until("the lone node refuses to answer", func() bool {
		v, err := old.Node().View(deadline(t))
		if err == nil {
			v.Release()
			return false
		}
		if !errors.Is(err, cluster.ErrNotFresh) {
			t.Fatalf("view of a lone node: %v", err)
		}
		return true
	})
	c.Until("the lone node says that it is stale", func() bool {
		return strings.Contains(strings.Join(old.Node().Reasons(), "\n"), "stale")
	})
	c.Until("a leader in the majority proves a read index", func() bool {
		_, err := c.Leader(rest...).Node().ServeReadIndex(deadline(t), "")
		return err == nil
	})
	c.Heal()
	for _, m := range c.Members() {
		c.WaitReady(m)
	}
	c.RequireSameState()
}

// TestViewShowsWhatWasCommittedBefore writes at the leader and reads at once at every node, again and again.
func TestViewShowsWhatWasCommittedBefore(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{})
	for i := range 30 {
		putLease(t, c, uint64(i)+1, i, 1)
		for _, m := range c.Members() {
			v, err := m.Node().View(deadline(t))
			if err != nil {
				t.Fatal(err)
			}
			if _, _, ok := v.FindAddress(address(i).Addr()); !ok {
				t.Fatalf("node %d does not show binding %d, committed before the view", m.Index, i)
			}
			v.Release()
		}
	}
}

// TestOneWayCutIsSeenAsStale lets nothing but heartbeats reach a follower: it hears its leader all the time and still must not
// take itself for up to date, which is what Raft's LastContact would say.
func TestOneWayCutIsSeenAsStale(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Config: shortHold})
	follower := c.Followers()[0]
	c.Intercept(func(m clustertest.Message) error {
		if m.To == follower.Index && m.Kind == clustertest.AppendEntries && !m.Reply {
			return clustertest.ErrDropped
		}
		return nil
	})
	putLease(t, c, 1, 0, 10)
	c.Until("the follower refuses to answer", func() bool {
		asked := time.Now()
		v, err := follower.Node().View(deadline(t))
		if err == nil {
			age, proven := follower.Node().Fresh()
			_, _, shown := v.FindAddress(address(0).Addr())
			v.Release()
			if atMost := time.Since(asked); !shown && (!proven || age-atMost > time.Second) {
				t.Fatalf("a view without a committed binding though the newest proof was already too old: %v, %v", proven, age)
			}
		}
		return errors.Is(err, cluster.ErrNotFresh)
	})
	c.Until("the follower hears its leader: the cut is one-way", func() bool { _, ok := follower.Node().Leader(); return ok })
	c.Heal()
	c.WaitReady(follower)
	c.RequireSameState()
}

// TestReadsAreHeldDuringAnElection asks while there is no leader: the answer waits and then shows everything.
func TestReadsAreHeldDuringAnElection(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Config: func(_ int, c *cluster.Config) { c.MaxStaleness, c.ReadHold = 0, 30*time.Second }})
	putLease(t, c, 1, 0, 1)
	asked := c.Followers()[0]
	c.Leader().Kill()
	v, err := asked.Node().View(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	defer v.Release()
	if _, _, ok := v.FindAddress(address(0).Addr()); !ok {
		t.Error("a held view misses a committed binding")
	}
}

func TestViewEndsWithItsContext(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Config: func(_ int, c *cluster.Config) { c.MaxStaleness = 0 }})
	c.Partition()
	gone := errors.New("requestor is gone")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(gone)
	if _, err := c.Member(0).Node().View(ctx); !errors.Is(err, gone) {
		t.Errorf("view: %v, want the context's cause", err)
	}
}

func TestReadIndexRefusesAnotherCluster(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Voters: 1})
	n := c.Leader().Node()
	const other = "01234567-89ab-4def-8123-456789abcdef"
	if _, err := n.ServeReadIndex(deadline(t), other); !errors.Is(err, cluster.ErrWrongCluster) {
		t.Errorf("read index for another cluster: %v", err)
	}
	if _, err := n.ServeTerm(other); !errors.Is(err, cluster.ErrWrongCluster) {
		t.Errorf("term for another cluster: %v", err)
	}
	r := cluster.JoinRequest{ID: other, Name: "x", RaftAddress: "127.0.0.1:1", GRPCAddress: "127.0.0.1:2", ClusterID: other}
	if _, err := n.Join(deadline(t), r); !errors.Is(err, cluster.ErrWrongCluster) {
		t.Errorf("join of a node of another cluster: %v", err)
	}
	r.ClusterID = n.ClusterID()
	if _, err := n.Join(deadline(t), r); !errors.Is(err, cluster.ErrRemoved) {
		t.Errorf("join of a node that is no longer a member: %v", err)
	}
	for _, bad := range []cluster.JoinRequest{
		{ID: "node1", RaftAddress: "127.0.0.1:1", GRPCAddress: "127.0.0.1:2"},
		{ID: other, RaftAddress: "127.0.0.1", GRPCAddress: "127.0.0.1:2"},
		{ID: other, RaftAddress: "127.0.0.1:1", GRPCAddress: ":0"},
		{ID: other, RaftAddress: "127.0.0.1:1", GRPCAddress: "127.0.0.1:2", Name: strings.Repeat("x", 65)},
	} {
		if _, err := n.Join(deadline(t), bad); !errors.Is(err, cluster.ErrInvalid) {
			t.Errorf("join %+v: %v", bad, err)
		}
	}
	if got := len(n.Members()); got != 1 {
		t.Errorf("%d members, want 1", got)
	}
}

// TestReadsShareARound asks many times at once: the voters are asked far less often.
func TestReadsShareARound(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{})
	leader := c.Leader()
	release := make(chan struct{})
	var terms atomic.Int64
	c.Intercept(func(m clustertest.Message) error {
		if m.Kind == clustertest.Term && m.From == leader.Index && !m.Reply {
			terms.Add(1)
			<-release
		}
		return nil
	})
	const readers = 200
	var asking sync.WaitGroup
	var started atomic.Int64
	for range readers {
		asking.Go(func() {
			started.Add(1)
			if _, err := leader.Node().ReadIndex(deadline(t)); err != nil {
				t.Error(err)
			}
		})
	}
	c.Until("all ask and the first round is under way", func() bool { return started.Load() == readers && terms.Load() >= 2 })
	close(release)
	asking.Wait()
	c.Intercept(nil)
	if got := terms.Load(); got > readers/2 {
		t.Errorf("%d questions to voters for %d reads", got, readers)
	}
}
