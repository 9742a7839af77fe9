package cluster_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
	"github.com/leasehold/leasehold/cluster/transport"
	"github.com/leasehold/leasehold/fsm"
)

// fastPath is the transport with the fast path for heartbeats put back on: they are handled on the connection's goroutine,
// beside Raft's main loop.
type fastPath struct {
	*transport.Transport
}

// SetHeartbeatHandler passes the handler on, which transport.Transport does not.
func (f fastPath) SetHeartbeatHandler(h func(raft.RPC)) { f.NetworkTransport.SetHeartbeatHandler(h) }

// TestDeposedLeaderStampsNothing is the schedule of hashicorp/raft#695, whose window is held open: a leader is cut off and does
// not notice, since its lease is long; another is elected; nothing of the new leader reaches the old one but a heartbeat; and
// then an entry, proposed when it still led, gets to the old leader's main loop.
//
// With the fast path the heartbeat raises the term beside the main loop, which stamps the entry with it. Index and term are
// then those of the new leader's first entry, so the new leader's log is never compared any further: the old leader keeps and
// applies an entry that nobody else has, though its proposer was told that leadership was lost. Here the next checkpoint finds
// it out. Without the fast path the
// heartbeat goes through the main loop, which steps down first and refuses the entry.
func TestDeposedLeaderStampsNothing(t *testing.T) {
	for _, tc := range []struct {
		name string
		fast bool
	}{{"as it is", false}, {"with the fast path", true}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newSchedule(t, tc.fast)
			err := s.deposeAndPropose()
			if !errors.Is(err, raft.ErrNotLeader) && !errors.Is(err, raft.ErrLeadershipLost) {
				t.Fatalf("an entry queued at a deposed leader: %v", err)
			}
			t.Logf("the proposer is told: %v", err)
			s.settle()
			if s.rest[0].Hash() != s.rest[1].Hash() || (s.old.Hash() == s.rest[0].Hash()) == tc.fast {
				t.Errorf("state hashes: %s on the old leader, %s and %s on the others", s.old.Hash(), s.rest[0].Hash(), s.rest[1].Hash())
			}
			if !tc.fast {
				s.c.RequireSameState()
				return
			}
			s.c.Until("the checkpoints take the old leader out", func() bool { return errors.Is(s.old.Err(), fsm.ErrDiverged) })
			t.Logf("%d bindings on the old leader, %d and %d on the others; it ended: %v", bindings(t, s.old), bindings(t, s.rest[0]), bindings(t, s.rest[1]), s.old.Err())
		})
	}
}

// schedule is the cluster and how far it has come.
type schedule struct {
	t    *testing.T
	c    *clustertest.Cluster
	old  *clustertest.Member
	rest []*clustertest.Member
	pass atomic.Pointer[func(clustertest.Message) bool] // of the messages from and to the old leader; nil: all
}

// newSchedule founds a cluster that node 0 leads. Its lease is so long that it stays in office until it hears of another; the
// others hold elections soon. Nothing is proposed but by the test.
func newSchedule(t *testing.T, fast bool) *schedule {
	s := &schedule{t: t}
	s.c = clustertest.New(t, clustertest.Options{
		Config: func(i int, c *cluster.Config) {
			office := 2500 * time.Millisecond
			if i == 0 {
				office = 20 * time.Second
				c.CheckpointInterval = time.Hour
			}
			c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLease, c.TickInterval = office, office, office, time.Hour
		},
		Deps: func(_ *clustertest.Member, d *cluster.Deps) {
			wire := d.Intercept
			d.Intercept = func(tr raft.Transport) raft.Transport {
				if fast {
					tr = fastPath{tr.(*transport.Transport)}
				}
				return wire(tr)
			}
		},
	})
	s.old, s.rest = s.c.Member(0), s.c.Members()[1:]
	s.c.Intercept(func(m clustertest.Message) error {
		if pass := s.pass.Load(); pass != nil && (m.From == 0 || m.To == 0) && !(*pass)(m) {
			return clustertest.ErrDropped
		}
		return nil
	})
	return s
}

// office lets node 0 lead, with everything that it has in its log committed and nothing more to propose.
func (s *schedule) office() {
	s.c.Until("the format level is raised", func() bool { return s.old.FSM().Level() == fsm.MaxLevel })
	for l := s.c.Leader(); l != s.old; l = s.c.Leader() {
		_, _ = l.Node().TransferLeadership(deadline(s.t), s.old.Node().ID()) // it may take more than one attempt
	}
	s.c.RequireSameState()
}

// deposeAndPropose goes through the schedule and returns what the proposer is told.
func (s *schedule) deposeAndPropose() error {
	s.t.Helper()
	putLease(s.t, s.c, 1, 0, 10)
	s.office()
	old, term := s.old.Node(), s.old.Node().Term()
	s.only(func(clustertest.Message) bool { return false })
	s.c.Leader(s.rest...)
	if !old.IsLeader() || old.Term() != term || old.LastIndex() != s.old.FSM().Applied() {
		s.t.Fatalf("the old leader leads: %v, in term %d, with entries up to %d of which %d are applied; it led in term %d",
			old.IsLeader(), old.Term(), old.LastIndex(), s.old.FSM().Applied(), term)
	}
	s.only(func(m clustertest.Message) bool { return m.To == 0 && m.Kind == clustertest.Heartbeat && !m.Reply })
	s.c.Until("a heartbeat has raised the old leader's term", func() bool { return old.Term() != term })
	return old.QueueUnchecked(lease(s.t, 1, 2, 500, 1, 3600)).Error()
}

func (s *schedule) only(pass func(clustertest.Message) bool) { s.pass.Store(&pass) }

// settle mends the network and waits until the old leader has applied as much as the others.
func (s *schedule) settle() {
	s.pass.Store(nil)
	index := put(s.t, s.c, func() []byte { return lease(s.t, 2, 1, 600, 1, 3600) }).Index
	for _, m := range s.c.Members() {
		s.c.Until("all have applied as much", func() bool { return m.FSM().Applied() >= index })
	}
}
