package clustertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/membership"
	"github.com/leasehold/leasehold/fsm"
)

// Member is one node of a cluster, over all its starts.
type Member struct {
	Index int
	Dir   string // its data directory

	cluster  *Cluster
	port     *port
	grpc     string
	gossipAt string
	change   func(*cluster.Config)

	running atomic.Pointer[cluster.Node] // nil while stopped
	last    atomic.Pointer[cluster.Node] // of the newest start
	state   atomic.Pointer[fsm.FSM]
	gossip  atomic.Pointer[membership.Gossip]
	address string // of the gossip, once it has begun

	mu     sync.Mutex
	cancel context.CancelFunc
	ended  chan struct{}
	err    error
}

// Node is the node of the newest start.
func (m *Member) Node() *cluster.Node { return m.last.Load() }

// Running is the node, or nil while it is stopped.
func (m *Member) Running() *cluster.Node { return m.running.Load() }

// FSM is the state machine of the newest start.
func (m *Member) FSM() *fsm.FSM { return m.state.Load() }

// GRPCAddress is the node's gRPC address.
func (m *Member) GRPCAddress() string { return m.grpc }

// Err is what the newest Run returned, once it has ended.
func (m *Member) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// Hash is the node's state hash.
func (m *Member) Hash() string {
	v := m.FSM().View()
	defer v.Release()
	return fmt.Sprintf("%x", v.Hash())
}

// Config is the configuration that the node starts with: short timers, so that tests take seconds.
func (m *Member) Config() cluster.Config {
	c := cluster.DefaultConfig()
	c.Name, c.DataDir, c.GRPCAddress = fmt.Sprintf("node-%d", m.Index), m.Dir, m.grpc
	c.ClusterName, c.BootstrapExpect = "clustertest", m.cluster.options.Voters
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLease = 400*time.Millisecond, 400*time.Millisecond, 300*time.Millisecond
	c.ProofInterval, c.TickInterval, c.JoinInterval, c.AdmitInterval = 50*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
	c.PromoteAfter, c.ReadHold, c.CheckpointInterval = 200*time.Millisecond, 10*time.Second, 250*time.Millisecond
	if m.cluster.options.Config != nil {
		m.cluster.options.Config(m.Index, &c)
	}
	if m.change != nil {
		m.change(&c)
	}
	return c
}

// Start starts the node on its directory and addresses. It does not wait until the node is ready.
func (m *Member) Start() {
	m.cluster.tb.Helper()
	if err := m.TryStart(); err != nil {
		m.cluster.tb.Fatalf("start node %d: %v", m.Index, err)
	}
}

// TryStart is Start for a node that may refuse to.
func (m *Member) TryStart() error {
	o := m.cluster.options
	clock := cluster.NewClock()
	var node *cluster.Node
	state := fsm.New(fsm.Config{
		Logger: m.cluster.logger, Applied: clock.Applied, Halt: func(err error) { panic(err) },
		Diverged: func(err error) { node.Diverged(err) },
	})
	var machine cluster.StateMachine = state
	if o.Machine != nil {
		machine = o.Machine(m, state)
	}
	gossip, err := m.newGossip()
	if err != nil {
		return err
	}
	deps := cluster.Deps{
		Logger: m.cluster.logger, Clock: clock, Listener: m.port.take(), Discovery: gossip, Peers: &calls{cluster: m.cluster, from: m.Index},
		Intercept: func(t raft.Transport) raft.Transport { return &wire{Transport: t, cluster: m.cluster, from: m.Index} },
	}
	if o.Peers != nil {
		deps.Peers = o.Peers(m)
	}
	if o.Wall != nil {
		deps.Wall = func() time.Time { return o.Wall(m.Index) }
	}
	if o.Deps != nil {
		o.Deps(m, &deps)
	}
	node, err = cluster.Open(m.Config(), machine, deps)
	if err != nil {
		return errors.Join(err, deps.Listener.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.mu.Lock()
	m.cancel, m.ended, m.err = cancel, make(chan struct{}), nil
	ended := m.ended
	m.mu.Unlock()
	m.state.Store(state)
	m.gossip.Store(gossip)
	m.last.Store(node)
	m.running.Store(node)
	go func() {
		defer close(ended)
		err := node.Run(ctx)
		m.running.CompareAndSwap(node, nil)
		m.mu.Lock()
		m.err = err
		m.mu.Unlock()
	}()
	if deps.Discovery != cluster.Discovery(gossip) {
		return nil
	}
	m.cluster.Until(fmt.Sprintf("node %d gossips", m.Index), func() bool {
		m.address = gossip.Addr()
		return m.address != "" || m.running.Load() == nil
	})
	return nil
}

func (m *Member) newGossip() (*membership.Gossip, error) {
	conf := membership.Config{
		Cluster: "clustertest", Bind: m.gossipAt, PeersFile: filepath.Join(m.Dir, cluster.PeersFile), Logger: m.cluster.logger,
		RejoinInterval: 500 * time.Millisecond, ProbeInterval: 500 * time.Millisecond,
	}
	for _, other := range m.cluster.Members() {
		if other != m && other.address != "" {
			conf.Join = append(conf.Join, other.address)
		}
	}
	return membership.New(conf)
}

// Stop ends the node in an orderly way and waits.
func (m *Member) Stop() {
	m.mu.Lock()
	cancel, ended := m.cancel, m.ended
	m.mu.Unlock()
	if cancel == nil {
		return
	}
	cancel()
	<-ended
	m.running.Store(nil)
}

// Kill ends the node without letting it say anything to the others, and waits. Its directory stays as it is.
func (m *Member) Kill() {
	n := len(m.cluster.Members())
	for i := range n {
		m.cluster.Cut(m.Index, i)
		m.cluster.Cut(i, m.Index)
	}
	m.running.Store(nil)
	m.Stop()
	m.cluster.faults.mu.Lock()
	defer m.cluster.faults.mu.Unlock()
	for i := range n {
		delete(m.cluster.faults.cuts, [2]int{m.Index, i})
		delete(m.cluster.faults.cuts, [2]int{i, m.Index})
	}
}

// Restart kills the node and starts it again.
func (m *Member) Restart() {
	m.cluster.tb.Helper()
	m.Kill()
	m.Start()
}

// Move gives a stopped node another Raft port.
func (m *Member) Move() {
	m.cluster.tb.Helper()
	p, err := newPort()
	if err != nil {
		m.cluster.tb.Fatalf("listen: %v", err)
	}
	m.port.close()
	m.port = p
}

// RaftAddress is the address of the node's Raft port.
func (m *Member) RaftAddress() string { return m.port.ln.Addr().String() }

// Wipe empties the data directory of a stopped node.
func (m *Member) Wipe() {
	m.cluster.tb.Helper()
	entries, err := os.ReadDir(m.Dir)
	if err != nil {
		m.cluster.tb.Fatalf("wipe: %v", err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(m.Dir, e.Name())); err != nil {
			m.cluster.tb.Fatalf("wipe: %v", err)
		}
	}
}
