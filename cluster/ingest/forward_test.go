package ingest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/rpc"
	"github.com/leasehold/leasehold/fsm"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// follower is a node that does not lead, and knows what a test tells it.
type follower struct {
	mu      sync.Mutex
	leader  string
	changed chan struct{}
}

func newFollower(leader string) *follower {
	return &follower{leader: leader, changed: make(chan struct{})}
}

func (f *follower) follow(leader string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leader = leader
	close(f.changed)
	f.changed = make(chan struct{})
}

// Propose refuses.
func (f *follower) Propose(context.Context, []byte) (*cluster.Pending, error) {
	return nil, cluster.ErrNotLeader
}

// IsLeader is false.
func (f *follower) IsLeader() bool { return false }

// ID is the node's id.
func (f *follower) ID() string { return "follower" }

// Leader is the leader as the test told it.
func (f *follower) Leader() (cluster.Member, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return cluster.Member{ID: "leader", GRPCAddress: f.leader}, f.leader != ""
}

// LeaderChanged is closed when the test tells something else.
func (f *follower) LeaderChanged() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

// following is the service of a node that follows the one at the address.
func following(t *testing.T, leader string) (*follower, *Service, string) {
	t.Helper()
	f := newFollower(leader)
	pool := rpc.NewPool()
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Errorf("close pool: %v", err)
		}
	})
	s := New(f, fsm.New(fsm.Config{}), pool, nil, nil)
	return f, s, serve(t, s)
}

func TestFollowerPassesTheSessionOn(t *testing.T) {
	n, _, leader := lonely(t)
	_, s, addr := following(t, leader)
	f := call(t, addr, "kea", 1)
	f.welcome()
	for i := range 20 {
		f.changes(uint64(i+1), leases(i*50, 50)...)
	}
	if got, want := f.acked(20), (&ingestv1.Counts{Changed: 1000}); !cmp.Equal(got, want, protocmp.Transform()) {
		t.Errorf("counts %v, want %v", got, want)
	}
	f.changes(22, leases(0, 1)...)
	if r := f.answer().GetRewind(); r.GetNextSequence() != 21 {
		t.Errorf("answer %v, want a rewind to batch 21", r)
	}
	if err := f.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Recv(); err == nil || err.Error() != "EOF" {
		t.Errorf("session ended with %v, want io.EOF", err)
	}
	f = call(t, leader, "kea", 1)
	if w := f.welcome(); w.GetAppliedSequence() != 20 {
		t.Errorf("leader welcomes with %v, want batch 20", w)
	}
	f.changes(20, leases(0, 50)...)
	f.acked(20)
	if n.bindings() != 1000 || counted(t, s.metrics.forwarded) != 1 {
		t.Errorf("%d bindings, %v sessions passed on; want 1000 and 1", n.bindings(), counted(t, s.metrics.forwarded))
	}
}

func TestRefusalComesThroughTheFollower(t *testing.T) {
	_, _, leader := lonely(t)
	_, _, addr := following(t, leader)
	f := call(t, addr, "kea", 1)
	f.welcome()
	f.changes(1, leases(0, 10)...)
	bad := lease(25)
	bad.Valid = 0
	f.changes(2, upsert(bad))
	f.acked(1)
	err := f.failed()
	if status.Code(err) != codes.InvalidArgument || len(status.Convert(err).Details()) != 1 || !strings.Contains(err.Error(), "batch 2: change 0: valid") {
		t.Errorf("session ended with %v, want InvalidArgument with details", err)
	}
}

func TestSessionIsPassedOnOnce(t *testing.T) {
	_, _, leader := lonely(t)
	_, _, middle := following(t, leader)
	_, _, addr := following(t, middle)
	err := call(t, addr, "kea", 1).failed()
	if status.Code(err) != codes.Unavailable || !errors.Is(rpc.FromStatus(err), cluster.ErrNotLeader) {
		t.Errorf("session ended with %v, want ErrNotLeader as Unavailable", err)
	}
}

func TestSessionWaitsForALeader(t *testing.T) {
	_, _, leader := lonely(t)
	node, s, addr := following(t, "")
	f := call(t, addr, "kea", 1)
	until(t, "the session is open", func() bool { return s.open.Load() == 1 })
	node.follow(leader)
	f.welcome()
	f.changes(1, leases(0, 10)...)
	f.acked(1)
}

func TestSessionWithoutALeaderIsRefused(t *testing.T) {
	_, s, addr := following(t, "")
	s.hold = 20 * time.Millisecond
	err := call(t, addr, "kea", 1).failed()
	if status.Code(err) != codes.Unavailable || !errors.Is(rpc.FromStatus(err), cluster.ErrNoLeader) {
		t.Errorf("session ended with %v, want ErrNoLeader as Unavailable", err)
	}
}

func TestSessionEndsWithItsLeader(t *testing.T) {
	_, _, leader := lonely(t)
	for name, next := range map[string]string{"another leader": "127.0.0.1:9", "none": ""} {
		t.Run(name, func(t *testing.T) {
			node, s, addr := following(t, leader)
			f := call(t, addr, "kea", 1)
			f.welcome()
			node.follow(next)
			err := f.failed()
			if status.Code(err) != codes.Unavailable || !errors.Is(rpc.FromStatus(err), cluster.ErrNotLeader) {
				t.Errorf("session ended with %v, want ErrNotLeader as Unavailable", err)
			}
			until(t, "the session is gone", func() bool { return s.open.Load() == 0 })
		})
	}
}

func TestUnreachableLeaderIsUnavailable(t *testing.T) {
	_, _, addr := following(t, "127.0.0.1:1")
	if err := call(t, addr, "kea", 1).failed(); status.Code(err) != codes.Unavailable {
		t.Errorf("session ended with %v, want Unavailable", err)
	}
}

// A feeder that sends the same batches to the leader and through a follower at the same time has each applied once.
func TestBatchesOverTwoWaysAreAppliedOnce(t *testing.T) {
	n, _, leader := lonely(t)
	_, _, addr := following(t, leader)
	var changed [2]uint64
	var both sync.WaitGroup
	a, b := call(t, leader, "kea", 1), call(t, addr, "kea", 1)
	for i, f := range []*feeder{a, b} {
		f.welcome()
		both.Go(func() {
			for s := range 50 {
				f.changes(uint64(s+1), leases(s*20, 20)...)
				changed[i] += f.acked(uint64(s + 1)).GetChanged()
			}
		})
	}
	both.Wait()
	if sum := changed[0] + changed[1]; sum != 1000 || n.bindings() != 1000 {
		t.Errorf("%d + %d changes counted, %d bindings, want 1000 in all", changed[0], changed[1], n.bindings())
	}
}
