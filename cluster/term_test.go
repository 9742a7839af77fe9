package cluster_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
	"github.com/leasehold/leasehold/fsm/binding"
)

// TestBatchIsAppliedOnceAcrossLeaders proposes one batch through three leaders.
func TestBatchIsAppliedOnceAcrossLeaders(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{})
	first := put(t, c, func() []byte { return lease(t, 1, 1, 0, 10, 3600) })
	if first.Duplicate || first.Counts.Changed != 10 {
		t.Errorf("first time: %+v", first)
	}
	before := c.RequireSameState()
	for range 2 {
		handOver(t, c)
		again := put(t, c, func() []byte { return lease(t, 1, 1, 0, 10, 3600) })
		if !again.Duplicate || again.Counts.Changed != 0 {
			t.Errorf("again through another leader: %+v", again)
		}
	}
	if after := c.RequireSameState(); after != before {
		t.Errorf("state hash %s after the repeats, %s before", after, before)
	}
	gap := put(t, c, func() []byte { return lease(t, 1, 3, 20, 1, 3600) })
	if gap.Expected != 2 {
		t.Errorf("batch 3 after batch 1: %+v, want batch 2 expected", gap)
	}
}

// TestUnknownOutcomeIsSentAgainOnce cuts the leader off with a batch under way. Its outcome is unknown; sent again to the new
// leader it is there once, and the entry of the old leader is not.
func TestUnknownOutcomeIsSentAgainOnce(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{})
	putLease(t, c, 1, 0, 10)
	old := c.Leader()
	rest := c.Followers()
	c.Partition([]int{old.Index}, []int{rest[0].Index, rest[1].Index})
	p, err := old.Node().Propose(deadline(t), lease(t, 1, 2, 10, 10, 3600))
	if err == nil {
		if r, werr := p.Wait(deadline(t)); !errors.Is(werr, cluster.ErrUnknown) && !errors.Is(werr, cluster.ErrNotLeader) {
			t.Errorf("batch under way at a leader cut off: %+v, %v", r, werr)
		}
	} else if !errors.Is(err, cluster.ErrNotLeader) {
		t.Errorf("propose: %v", err)
	}
	c.Leader(rest...)
	if r := put(t, c, func() []byte { return lease(t, 1, 2, 10, 10, 3600) }); r.Expected != 0 || r.Err != nil {
		t.Errorf("sent again: %+v", r)
	}
	c.Heal()
	for _, m := range c.Members() {
		c.WaitReady(m)
	}
	c.RequireSameState()
	if got := bindings(t, old); got != 20 {
		t.Errorf("old leader has %d bindings, want 20", got)
	}
}

// TestLeaderExpires waits until bindings of short lifetimes are removed, everywhere, by the leader's proposals alone.
func TestLeaderExpires(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Config: func(_ int, c *cluster.Config) { c.MaintainLimit = 7 }})
	put(t, c, func() []byte { return lease(t, 1, 1, 0, 50, 1) })
	put(t, c, func() []byte { return lease(t, 1, 2, 50, 5, 3600) })
	for _, m := range c.Members() {
		c.Until("what has expired is gone and the rest is there", func() bool { return bindings(t, m) == 5 })
	}
	c.RequireSameState()
}

// TestTimeGoesOnWhenIdle proposes nothing: cluster time goes on at every node.
func TestTimeGoesOnWhenIdle(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{})
	for _, m := range c.Members() {
		begin := m.FSM().Clock()
		c.Until("the closed time has moved", func() bool { return m.FSM().Clock() > begin+500 })
		closed := m.FSM().Clock()
		c.Until("now is not before the closed time", func() bool { return m.Node().Now() >= closed })
	}
}

func TestOneWallClockThatJumpsMovesNothing(t *testing.T) {
	var jumped atomic.Int64
	jumped.Store(-1)
	c := clustertest.New(t, clustertest.Options{Wall: func(i int) time.Time {
		if int64(i) == jumped.Load() {
			return time.Now().Add(24 * time.Hour)
		}
		return time.Now()
	}})
	put(t, c, func() []byte { return lease(t, 1, 1, 0, 10, 3600) })
	for _, leader := range []*clustertest.Member{c.Followers()[0], c.Followers()[1]} {
		jumped.Store(int64(leader.Index)) // the leader's own clock is the one that is wrong
		c.Until("the node with the wrong clock leads", func() bool {
			l := c.Leader()
			if l != leader {
				_, _ = l.Node().TransferLeadership(deadline(t), leader.Node().ID()) // it may take more than one attempt
			}
			return l == leader
		})
		if off := leader.FSM().Clock().Sub(binding.FromWall(time.Now())); off > time.Minute || off < -time.Minute {
			t.Errorf("cluster time is off by %v", off)
		}
	}
	if got := bindings(t, c.Leader()); got != 10 {
		t.Errorf("%d bindings, want 10: a jump expired some", got)
	}
}

func TestDisagreeingWallClocksGoOnFromTheLastEntry(t *testing.T) {
	var spread atomic.Bool
	c := clustertest.New(t, clustertest.Options{Wall: func(i int) time.Time {
		if spread.Load() {
			return time.Now().Add(time.Duration(i+1) * 24 * time.Hour)
		}
		return time.Now()
	}})
	spread.Store(true)
	handOver(t, c)
	if off := c.Leader().FSM().Clock().Sub(binding.FromWall(time.Now())); off > time.Minute || off < -time.Minute {
		t.Errorf("cluster time is off by %v though no majority agrees", off)
	}
}

// TestTimeAgreedOnByAMajorityIsTaken stops the cluster "for two days": the next leader begins at the time of the wall clocks.
func TestTimeAgreedOnByAMajorityIsTaken(t *testing.T) {
	var later atomic.Int64
	c := clustertest.New(t, clustertest.Options{Wall: func(int) time.Time { return time.Now().Add(time.Duration(later.Load())) }})
	put(t, c, func() []byte { return lease(t, 1, 1, 0, 10, 3600) })
	for _, m := range c.Members() {
		m.Kill()
	}
	later.Store(int64(48 * time.Hour))
	for _, m := range c.Members() {
		m.Start()
	}
	for _, m := range c.Members() {
		c.WaitReady(m)
		c.Until("leases have run out meanwhile", func() bool { return bindings(t, m) == 0 })
	}
	if off := c.Leader().FSM().Clock().Sub(binding.FromWall(time.Now())); off < 47*time.Hour || off > 49*time.Hour {
		t.Errorf("cluster time is %v ahead, want 48h", off)
	}
}

// TestHeartbeatsTakeNoFastPath asserts that no handler reaches the network transport: that every heartbeat goes through Raft's
// main loop (hashicorp/raft#695).
func TestHeartbeatsTakeNoFastPath(t *testing.T) {
	var wires sync.Map
	c := clustertest.New(t, clustertest.Options{Deps: func(m *clustertest.Member, d *cluster.Deps) {
		inner := d.Intercept
		d.Intercept = func(tr raft.Transport) raft.Transport {
			spy := &spy{Transport: tr}
			wires.Store(m.Index, spy)
			return inner(spy)
		}
	}})
	follower := c.Followers()[0]
	v, _ := wires.Load(follower.Index)
	seen := v.(*spy)
	c.Until("heartbeats come through the consumer", func() bool { return seen.heartbeats.Load() > 3 })
}

// spy counts the heartbeats that come through the consumer.
type spy struct {
	raft.Transport
	once       sync.Once
	out        chan raft.RPC
	heartbeats atomic.Int64
	done       chan struct{}
}

func (s *spy) Consumer() <-chan raft.RPC {
	s.once.Do(func() {
		s.out, s.done = make(chan raft.RPC), make(chan struct{})
		go func() {
			for {
				select {
				case rpc := <-s.Transport.Consumer():
					if a, ok := rpc.Command.(*raft.AppendEntriesRequest); ok && len(a.Entries) == 0 && a.PrevLogEntry == 0 && a.LeaderCommitIndex == 0 {
						s.heartbeats.Add(1)
					}
					select {
					case s.out <- rpc:
					case <-s.done:
						return
					}
				case <-s.done:
					return
				}
			}
		}()
	})
	return s.out
}

func (s *spy) Close() error {
	close(s.done)
	return s.Transport.(raft.WithClose).Close()
}

func (s *spy) RequestPreVote(id raft.ServerID, a raft.ServerAddress, req *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return s.Transport.(raft.WithPreVote).RequestPreVote(id, a, req, resp)
}

// TestManyProposalsInFlightStayInOrder proposes many batches without waiting between them.
func TestManyProposalsInFlightStayInOrder(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Config: func(_ int, c *cluster.Config) {
		c.MaxInFlight, c.MaxEntry = 64<<10, 32<<10
		c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLease = 2*time.Second, 2*time.Second, 2*time.Second // no change of leader meanwhile
	}})
	n := c.Leader().Node()
	var pending []*cluster.Pending
	const batches = 300
	for i := range batches {
		p, err := n.Propose(deadline(t), lease(t, 1, uint64(i)+1, 20*i, 20, 3600))
		if err != nil {
			t.Fatal(err)
		}
		pending = append(pending, p)
	}
	var last uint64
	var clock binding.Time
	for i, p := range pending {
		r, err := p.Wait(deadline(t))
		if err != nil || r.Duplicate || r.Expected != 0 || r.Counts.Changed != 20 {
			t.Fatalf("batch %d: %+v, %v", i+1, r, err)
		}
		if r.Index <= last || r.Clock < clock {
			t.Fatalf("batch %d has index %d and clock %d after %d and %d", i+1, r.Index, r.Clock, last, clock)
		}
		last, clock = r.Index, r.Clock
	}
	c.RequireSameState()
	for _, m := range c.Members() {
		if got := bindings(t, m); got != 20*batches {
			t.Errorf("node %d has %d bindings, want %d", m.Index, got, 20*batches)
		}
	}
}

func TestProposalsAreRefused(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{})
	if _, err := c.Followers()[0].Node().Propose(deadline(t), lease(t, 1, 1, 0, 1, 60)); !errors.Is(err, cluster.ErrNotLeader) {
		t.Errorf("propose at a follower: %v", err)
	}
	n := c.Leader().Node()
	for _, size := range []int{0, cluster.DefaultConfig().MaxEntry + 1} {
		if _, err := n.Propose(deadline(t), make([]byte, size)); !errors.Is(err, cluster.ErrInvalid) {
			t.Errorf("propose %d octets: %v", size, err)
		}
	}
	c.Leader().Stop()
	if _, err := n.Propose(deadline(t), lease(t, 1, 1, 0, 1, 60)); !errors.Is(err, cluster.ErrNotLeader) {
		t.Errorf("propose at a node that has stopped: %v", err)
	}
}
