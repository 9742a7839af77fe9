package forward

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/leasehold/leasehold/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node says what a test sets.
type node struct {
	mu      sync.Mutex
	leads   bool
	leader  cluster.Member
	changed chan struct{}
}

func (n *node) set(leads bool, leader cluster.Member) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.leads, n.leader = leads, leader
	close(n.changed)
	n.changed = make(chan struct{})
}

// ID is "me".
func (n *node) ID() string { return "me" }

// IsLeader is what was set.
func (n *node) IsLeader() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.leads
}

// Leader is what was set.
func (n *node) Leader() (cluster.Member, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.leader, n.leader.ID != ""
}

// LeaderChanged is closed by set.
func (n *node) LeaderChanged() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.changed
}

func TestAwait(t *testing.T) {
	other := cluster.Member{ID: "other", GRPCAddress: "a:1"}
	nowhere := cluster.Member{ID: "other"}
	me := cluster.Member{ID: "me", GRPCAddress: "b:1"}
	for name, tc := range map[string]struct {
		leads     bool
		leader    cluster.Member
		later     *cluster.Member // told after a second
		forwarded bool
		addr      string
		err       error
		waits     time.Duration
	}{
		"here":                          {leads: true, leader: me},
		"here, passed on":               {leads: true, leader: me, forwarded: true},
		"there":                         {leader: other, addr: "a:1"},
		"there, passed on":              {leader: other, forwarded: true, err: cluster.ErrNotLeader},
		"none":                          {err: cluster.ErrNoLeader, waits: 7 * time.Second},
		"none, passed on":               {forwarded: true, err: cluster.ErrNoLeader, waits: 7 * time.Second},
		"here, not ready":               {leader: me, err: cluster.ErrNoLeader, waits: 7 * time.Second},
		"address unknown":               {leader: nowhere, err: cluster.ErrNoLeader, waits: 7 * time.Second},
		"found later":                   {later: &other, addr: "a:1", waits: time.Second},
		"ready later, passed on":        {leader: me, forwarded: true, later: &me, waits: time.Second},
		"other leads later, passed on":  {forwarded: true, later: &other, err: cluster.ErrNotLeader, waits: time.Second},
		"address known after a second":  {leader: nowhere, later: &other, addr: "a:1", waits: time.Second},
		"address unknown later as well": {leader: nowhere, later: &nowhere, err: cluster.ErrNoLeader, waits: 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &node{leads: tc.leads, leader: tc.leader, changed: make(chan struct{})}
				if tc.later != nil {
					time.AfterFunc(time.Second, func() { n.set(tc.later.ID == "me", *tc.later) })
				}
				begun := time.Now()
				addr, err := Await(t.Context(), n, tc.forwarded, 7*time.Second)
				if addr != tc.addr || !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
					t.Errorf("%q, %v, want %q, %v", addr, err, tc.addr, tc.err)
				}
				if waited := time.Since(begun); waited != tc.waits {
					t.Errorf("waited %v, want %v", waited, tc.waits)
				}
			})
		})
	}
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("stopping")
	cancel(why)
	if _, err := Await(ctx, &node{changed: make(chan struct{})}, false, time.Hour); !errors.Is(err, why) {
		t.Errorf("%v, want the cause", err)
	}
}
