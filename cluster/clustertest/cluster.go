package clustertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/fsm"
)

// Patience is how long a condition may take to come true. It is generous: machines that run tests are busy.
const Patience = 60 * time.Second

// Options say what a cluster is like. The zero value is three voters that found it together.
type Options struct {
	Voters int                              // how many nodes found the cluster; 0: three
	Config func(i int, c *cluster.Config)   // changes node i's configuration; nil: none
	Deps   func(m *Member, d *cluster.Deps) // changes what a node works with at each start; nil: nothing
	Wall   func(i int) time.Time            // node i's wall clock; nil: time.Now
	Level  slog.Level                       // of what the nodes log, to stderr; unset: nothing below slog.LevelError+1
	Peers  func(m *Member) cluster.Peers    // how node m asks others; nil: direct calls
	// Machine puts something between node m and its state machine at each start; nil: nothing.
	Machine func(m *Member, sm *fsm.FSM) cluster.StateMachine
	GRPC    func(i int) string // gRPC address of node i; nil: a made-up one that only direct calls understand
}

// Cluster is a running cluster. Its methods end the test when they do not succeed.
type Cluster struct {
	tb      testing.TB
	options Options
	faults  faults
	logger  *slog.Logger
	dir     string // made before stop is registered, so removed after it

	mu      sync.Mutex
	members []*Member
}

// New starts a cluster and waits until every node is ready. It is stopped when the test ends.
func New(tb testing.TB, o Options) *Cluster {
	tb.Helper()
	c := Start(tb, o)
	for _, m := range c.Members() {
		c.WaitReady(m)
	}
	return c
}

// Start starts a cluster and does not wait.
func Start(tb testing.TB, o Options) *Cluster {
	tb.Helper()
	if o.Voters == 0 {
		o.Voters = 3
	}
	level := o.Level
	if level == 0 {
		level = slog.LevelError + 1
	}
	if os.Getenv("CLUSTERTEST_LOG") != "" {
		level = slog.LevelDebug
	}
	c := &Cluster{tb: tb, options: o, dir: tb.TempDir(), logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))}
	c.faults.cuts = map[[2]int]bool{}
	tb.Cleanup(c.stop)
	for range o.Voters {
		c.Add(nil)
	}
	return c
}

// Add starts another node, which joins the cluster. change, if not nil, changes its configuration, now and at later starts.
func (c *Cluster) Add(change func(*cluster.Config)) *Member {
	c.tb.Helper()
	p, err := newPort()
	if err != nil {
		c.tb.Fatalf("listen: %v", err)
	}
	gossipAt, err := lowPort()
	if err != nil {
		c.tb.Fatalf("find a port for gossip: %v", err)
	}
	c.mu.Lock()
	m := &Member{Index: len(c.members), Dir: filepath.Join(c.dir, fmt.Sprintf("node-%d", len(c.members))), cluster: c, port: p, gossipAt: gossipAt, change: change}
	m.grpc = fmt.Sprintf("node-%d.test:1", m.Index)
	if c.options.GRPC != nil {
		m.grpc = c.options.GRPC(m.Index)
	}
	c.members = append(c.members, m)
	c.mu.Unlock()
	m.Start()
	return m
}

// Members are the nodes in the order in which they were added, running or not.
func (c *Cluster) Members() []*Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*Member(nil), c.members...)
}

// Member is node i.
func (c *Cluster) Member(i int) *Member { return c.Members()[i] }

// indexOf is the number of the node that has, or last had, the id; -1 for none.
func (c *Cluster) indexOf(id string) int {
	for _, m := range c.Members() {
		if n := m.last.Load(); n != nil && n.ID() == id {
			return m.Index
		}
	}
	return -1
}

func (c *Cluster) at(grpc string) *Member {
	for _, m := range c.Members() {
		if m.grpc == grpc {
			return m
		}
	}
	return nil
}

// stop stops every node, the leader last, so that nobody has to be elected meanwhile.
func (c *Cluster) stop() {
	c.Heal()
	var leader *Member
	for _, m := range c.Members() {
		if n := m.running.Load(); n != nil && n.IsLeader() && leader == nil {
			leader = m
			continue
		}
		m.Stop()
	}
	if leader != nil {
		leader.Stop()
	}
	for _, m := range c.Members() {
		m.port.close()
	}
}

// Until waits until a condition is true.
func (c *Cluster) Until(what string, condition func() bool) {
	c.tb.Helper()
	Until(c.tb, what, condition)
}

// Until waits until a condition is true, looking every few milliseconds; the test ends when it stays false.
func Until(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(Patience); !condition(); <-tick.C {
		if time.Now().After(deadline) {
			tb.Fatalf("still not so after %v: %s", Patience, what)
		}
	}
}

// Leader waits until a running node, one of those given if there are any, leads and takes proposals. If two believe that they
// do, it is the one of the newer term.
func (c *Cluster) Leader(among ...*Member) *Member {
	c.tb.Helper()
	if len(among) == 0 {
		among = c.Members()
	}
	var leader *Member
	c.Until("there is a leader", func() bool {
		leader = nil
		for _, m := range among {
			if n := m.running.Load(); n != nil && n.IsLeader() && (leader == nil || n.Term() > leader.running.Load().Term()) {
				leader = m
			}
		}
		return leader != nil
	})
	return leader
}

// Followers are the running nodes but for the leader, which it waits for.
func (c *Cluster) Followers() []*Member {
	c.tb.Helper()
	leader := c.Leader()
	var out []*Member
	for _, m := range c.Members() {
		if m != leader && m.running.Load() != nil {
			out = append(out, m)
		}
	}
	return out
}

// WaitReady waits until the node has no reason not to be ready.
func (c *Cluster) WaitReady(m *Member) {
	c.tb.Helper()
	c.Until(fmt.Sprintf("node %d is ready", m.Index), func() bool {
		n := m.running.Load()
		return n != nil && len(n.Reasons()) == 0
	})
}

// RequireSameState waits until every running node has applied all that is committed now, and then until all have one state
// hash, which it returns.
func (c *Cluster) RequireSameState() string {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	var nodes []*Member
	for _, m := range c.Members() {
		if n := m.running.Load(); n != nil {
			nodes = append(nodes, m)
			v, err := n.View(ctx)
			for errors.Is(err, cluster.ErrNotFresh) && ctx.Err() == nil { // a healed node may have to wait for Raft's next attempt
				v, err = n.View(ctx)
			}
			if err != nil {
				c.tb.Fatalf("view of node %d: %v", m.Index, err)
			}
			v.Release()
		}
	}
	if len(nodes) == 0 {
		c.tb.Fatal("no node is running")
	}
	var hash string
	c.Until("all nodes have one state hash", func() bool {
		hash = nodes[0].Hash()
		for _, m := range nodes[1:] {
			if m.Hash() != hash {
				return false
			}
		}
		return true
	})
	return hash
}
