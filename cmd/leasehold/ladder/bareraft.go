package ladder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

const (
	bareEntryBindings = 1024 // bindings that one log entry of the reference stands for
	bareBindingOctets = 200  // octets of each
	bareInFlight      = 4    // entries proposed and not yet committed
)

// emptyFSM is a state machine that keeps nothing.
type emptyFSM struct{}

func (emptyFSM) Apply(*raft.Log) any                 { return nil }
func (emptyFSM) Snapshot() (raft.FSMSnapshot, error) { return emptyFSM{}, nil }
func (emptyFSM) Restore(r io.ReadCloser) error       { return r.Close() }
func (emptyFSM) Persist(s raft.SnapshotSink) error   { return s.Close() }
func (emptyFSM) Release()                            {}

// bareNode is one node of the reference cluster.
type bareNode struct {
	raft      *raft.Raft
	transport *raft.NetworkTransport
	store     *raftboltdb.BoltStore
}

// bareRaft measures what hashicorp/raft does on this machine when nothing is built on it: three nodes, logs in bolt with fsync
// below dir, an empty state machine. The result is in bindings a second, of bareBindingOctets each.
func bareRaft(ctx context.Context, dir string, during time.Duration) (perSecond float64, err error) {
	nodes, err := openBare(dir, 3)
	defer func() { err = errors.Join(err, closeBare(nodes)) }()
	if err != nil {
		return 0, err
	}
	leader, err := bareLeader(ctx, nodes)
	if err != nil {
		return 0, err
	}
	data := make([]byte, bareEntryBindings*bareBindingOctets)
	var flying []raft.ApplyFuture
	committed := 0
	start := time.Now()
	for time.Since(start) < during && ctx.Err() == nil {
		for len(flying) < bareInFlight {
			flying = append(flying, leader.Apply(data, 10*time.Second))
		}
		if err := flying[0].Error(); err != nil {
			return 0, fmt.Errorf("reference raft: apply: %w", err)
		}
		flying = flying[1:]
		committed++
	}
	elapsed := time.Since(start)
	for _, f := range flying {
		if err := f.Error(); err != nil {
			return 0, fmt.Errorf("reference raft: apply: %w", err)
		}
	}
	return float64(committed*bareEntryBindings) / elapsed.Seconds(), ctx.Err()
}

func openBare(dir string, n int) ([]*bareNode, error) {
	var nodes []*bareNode
	var members raft.Configuration
	for i := range n {
		node, err := openBareNode(filepath.Join(dir, fmt.Sprint(i)), fmt.Sprint(i))
		if err != nil {
			return nodes, err
		}
		nodes = append(nodes, node)
		members.Servers = append(members.Servers, raft.Server{ID: raft.ServerID(fmt.Sprint(i)), Address: node.transport.LocalAddr()})
	}
	if err := nodes[0].raft.BootstrapCluster(members).Error(); err != nil {
		return nodes, fmt.Errorf("reference raft: bootstrap: %w", err)
	}
	return nodes, nil
}

func openBareNode(dir, id string) (*bareNode, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("reference raft: %w", err)
	}
	store, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(dir, "raft.db"),
		BoltOptions: &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, Timeout: time.Second}})
	if err != nil {
		return nil, fmt.Errorf("reference raft: open store: %w", err)
	}
	snapshots, err := raft.NewFileSnapshotStore(dir, 1, io.Discard)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reference raft: open snapshots: %w", err), store.Close())
	}
	transport, err := raft.NewTCPTransport("127.0.0.1:0", nil, 3, 10*time.Second, io.Discard)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reference raft: listen: %w", err), store.Close())
	}
	c := raft.DefaultConfig()
	c.LocalID, c.LogOutput, c.LogLevel = raft.ServerID(id), io.Discard, "off"
	r, err := raft.NewRaft(c, emptyFSM{}, store, store, snapshots, transport)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reference raft: start: %w", err), transport.Close(), store.Close())
	}
	return &bareNode{raft: r, transport: transport, store: store}, nil
}

func bareLeader(ctx context.Context, nodes []*bareNode) (*raft.Raft, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, n := range nodes {
			if n.raft.State() == raft.Leader {
				return n.raft, nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("reference raft: wait for a leader: %w", context.Cause(ctx))
		}
	}
}

func closeBare(nodes []*bareNode) error {
	var errs []error
	for _, n := range nodes {
		errs = append(errs, n.raft.Shutdown().Error(), n.transport.Close(), n.store.Close())
	}
	return errors.Join(errs...)
}
