package cluster_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
	"github.com/leasehold/leasehold/cluster/membership"
	"github.com/leasehold/leasehold/fsm"
)

// TestBrokenDiskEndsTheNode breaks the disk of the leader, then of a follower: the node ends and says why, nothing that it
// acknowledged is lost, and the others go on.
func TestBrokenDiskEndsTheNode(t *testing.T) {
	for _, who := range []string{"leader", "follower"} {
		t.Run(who, func(t *testing.T) {
			c := clustertest.New(t, clustertest.Options{})
			putLease(t, c, 1, 0, 10)
			broken := c.Leader()
			if who == "follower" {
				broken = c.Followers()[0]
			}
			if err := broken.Node().BreakDisk(); err != nil {
				t.Fatal(err)
			}
			c.Until("the node ends", func() bool { return broken.Err() != nil })
			if err := broken.Err(); !strings.Contains(err.Error(), "write raft") {
				t.Errorf("node ended with %v", err)
			}
			putLease(t, c, 2, 10, 10)
			broken.Start()
			c.WaitReady(broken)
			c.RequireSameState()
			if got := bindings(t, broken); got != 20 {
				t.Errorf("%d bindings, want 20", got)
			}
		})
	}
}

// TestReadsAreLinearizable lets one writer add a binding a batch while readers ask every node and leaders are cut off, handed
// over and killed. A view must hold every batch that was acknowledged before it was asked for and none that was not yet
// proposed when it was given.
func TestReadsAreLinearizable(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Config: func(_ int, c *cluster.Config) {
		c.MaxStaleness, c.ReadHold = 0, time.Second // every view proven
	}})
	var acked, proposed, reads atomic.Int64
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var running sync.WaitGroup
	for i := range c.Members() {
		running.Go(func() { readAll(ctx, t, c.Member(i), &acked, &proposed, &reads) })
	}
	running.Go(func() { disturb(ctx, c) })
	const batches = 150
	for i := range batches {
		proposed.Store(int64(i) + 1)
		putLease(t, c, uint64(i)+1, i, 1)
		acked.Store(int64(i) + 1)
	}
	stop()
	running.Wait()
	c.Heal()
	for _, m := range c.Members() {
		c.WaitReady(m)
	}
	c.RequireSameState()
	if got := bindings(t, c.Leader()); got != batches {
		t.Errorf("%d bindings, want %d", got, batches)
	}
	if reads.Load() < batches {
		t.Errorf("only %d reads were answered", reads.Load())
	}
	t.Logf("%d reads", reads.Load())
}

// readAll reads at one node until ctx ends.
func readAll(ctx context.Context, t *testing.T, m *clustertest.Member, acked, proposed, reads *atomic.Int64) {
	for ctx.Err() == nil {
		least := acked.Load()
		v, err := m.Node().View(ctx)
		if err != nil {
			if !errors.Is(err, cluster.ErrNotFresh) && ctx.Err() == nil {
				t.Errorf("view of node %d: %v", m.Index, err)
			}
			continue
		}
		got := int64(v.(interface{ Len() uint64 }).Len())
		v.Release()
		if most := proposed.Load(); got < least || got > most {
			t.Errorf("node %d shows %d bindings, want %d to %d", m.Index, got, least, most)
			return
		}
		reads.Add(1)
	}
}

// disturb disturbs the leader in a random way, again and again, until ctx ends.
func disturb(ctx context.Context, c *clustertest.Cluster) {
	rng := rand.New(rand.NewPCG(1, 2))
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		c.Heal()
		for _, m := range c.Members() {
			if !m.Node().IsLeader() {
				continue
			}
			other := (m.Index + 1 + rng.IntN(2)) % 3
			switch rng.IntN(4) {
			case 0: // alone
				for i := range 3 {
					c.Cut(m.Index, i)
					c.Cut(i, m.Index)
				}
			case 1: // hears, but is not heard
				c.Cut(m.Index, other)
				c.Cut(m.Index, (3 - m.Index - other))
			case 2: // one follower hears, but is not heard
				c.Cut(other, m.Index)
			case 3:
				_, _ = m.Node().TransferLeadership(ctx, "")
			}
			break
		}
	}
}

func TestAddressOfALiveMemberIsNotGivenAway(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Config: slowElections}) // who lives has as long to answer
	for _, m := range c.Members() {
		r := cluster.JoinRequest{ID: "01234567-89ab-4def-8123-456789abcdef", Name: "x", RaftAddress: m.RaftAddress(), GRPCAddress: "x.test:1", MaxLevel: fsm.MaxLevel}
		err := atLeader(t, c, func(n *cluster.Node) error {
			_, err := n.Join(deadline(t), r)
			return err
		})
		if !errors.Is(err, cluster.ErrInvalid) {
			t.Errorf("join at the address of node %d, which lives: %v", m.Index, err)
		}
	}
	if got := len(c.Leader().Node().Members()); got != 3 {
		t.Errorf("%d members, want 3", got)
	}
}

func TestAmbiguousNameIsRefused(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Config: func(_ int, c *cluster.Config) { c.Name = "same" }})
	n := c.Leader().Node()
	c.Until("all names are known", func() bool {
		for _, m := range n.Members() {
			if m.Name != "same" {
				return false
			}
		}
		return true
	})
	if err := atLeader(t, c, func(n *cluster.Node) error { return n.Remove(deadline(t), "same") }); !errors.Is(err, cluster.ErrInvalid) {
		t.Errorf("remove one of three of one name: %v", err)
	}
}

// TestClusterWorksWithoutGossip founds a cluster, then starts every node again deaf: without gossip and what it remembers of
// it. Reads, writes, failover and the admission of a node that gossip cannot introduce need none of it.
func TestClusterWorksWithoutGossip(t *testing.T) {
	var deaf atomic.Bool
	c := clustertest.New(t, clustertest.Options{Deps: func(_ *clustertest.Member, d *cluster.Deps) {
		if deaf.Load() {
			d.Discovery = silence{}
		}
	}})
	putLease(t, c, 1, 0, 10)
	for _, m := range c.Members() {
		m.Kill()
	}
	deaf.Store(true)
	for _, m := range c.Members() {
		m.Start()
	}
	for _, m := range c.Members() {
		c.WaitReady(m)
	}
	c.Leader().Kill()
	putLease(t, c, 2, 10, 10)
	added := c.Add(func(c *cluster.Config) { c.BootstrapExpect = 0 })
	r := cluster.JoinRequest{ID: added.Node().ID(), Name: "added", RaftAddress: added.RaftAddress(), GRPCAddress: added.GRPCAddress(), Voter: true, MaxLevel: fsm.MaxLevel}
	if err := atLeader(t, c, func(n *cluster.Node) error {
		_, err := n.Join(deadline(t), r)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	c.WaitReady(added)
	c.Until("the added node has a vote", func() bool {
		for _, m := range c.Leader().Node().Members() {
			if m.ID == r.ID {
				return m.Voter
			}
		}
		return false
	})
	c.RequireSameState()
}

// silence is a discovery that discovers nothing.
type silence struct{}

func (silence) Announce(membership.Peer) error { return nil }
func (silence) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
func (silence) Peers() []membership.Peer { return nil }
func (silence) Settled() bool            { return true }
func (silence) Learn(...membership.Peer) {}
