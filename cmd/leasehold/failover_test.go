//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
	"github.com/leasehold/leasehold/feed/synthetic"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// failoverRig is a cluster with one address that leads to whichever node is ready, and a relay that asks there.
type failoverRig struct {
	*nsCluster
	Relay  *netlab.Host
	Server string // the address that the relay asks, host:port
	Query  requestor.Query
	Want   int                                           // clients in a complete answer
	Holds  func(t testing.TB, n *nsNode) bool            // whether the address leads to the node
	Told   func(t testing.TB, n *nsNode, is string) bool // whether the node's daemon was told of its readiness
}

// feedRelay feeds so many leases and makes the relay's query for all of its clients.
func (r *failoverRig) feedRelay(t testing.TB, leases int) {
	t.Helper()
	source, err := synthetic.New(synthetic.Config{Leases: leases, Relays: 2, Seed: 1, Valid: 86400})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.newAgent(t, r.Relay, "kea", source).Run(deadline(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	r.Query = requestor.Query{Type: dhcpv6.QueryByRelayID, RelayID: source.Relay(0).ID, RelayData: true}
	for i := range source.Clients() {
		if source.Client(i).Relay == 0 {
			r.Want++
		}
	}
}

// requestor is the relay's: what the project's own requestor does, on the relay's host, for one attempt.
func (r *failoverRig) requestor(dial time.Duration) requestor.Config {
	c := requestor.Config{ClientID: newDUID(), Rounds: 1, DialTimeout: dial, DataTimeout: 20 * time.Second}
	d := c.Dialer()
	c.Dial = func(ctx context.Context, server string) (net.Conn, error) { return r.Relay.Dial(ctx, d, "tcp", server) }
	return c
}

// ask asks once. An answer that is not complete is an error.
func (r *failoverRig) ask(ctx context.Context, dial time.Duration) error {
	got := 0
	err := requestor.QueryAny(ctx, []string{r.Server}, r.requestor(dial), r.Query, func(*requestor.Client) error { got++; return nil })
	if err == nil && got != r.Want {
		err = fmt.Errorf("an answer that says it is complete has %d clients, want %d", got, r.Want)
	}
	return err
}

// holder waits until the address leads to exactly one node, every node is ready and every daemon knows it, and returns that node.
func (r *failoverRig) holder(t testing.TB) (holder *nsNode) {
	t.Helper()
	r.AwaitReady(t)
	until(t, deadline(t, time.Minute), "one node holds the address and all are ready", func() bool {
		var holders []*nsNode
		for _, n := range r.Nodes {
			if !r.Told(t, n, "0") {
				return false
			}
			if r.Holds(t, n) {
				holders = append(holders, n)
			}
		}
		if len(holders) != 1 {
			return false
		}
		holder = holders[0]
		return true
	})
	return holder
}

// askUntilComplete asks again and again, an attempt after the other, until an answer is complete. It returns when that was.
func (r *failoverRig) askUntilComplete(t testing.TB, ctx context.Context) time.Time {
	t.Helper()
	for {
		err := r.ask(ctx, 300*time.Millisecond)
		if err == nil {
			return time.Now()
		}
		if ctx.Err() != nil {
			t.Fatalf("no complete answer: %v", err)
		}
		if strings.Contains(err.Error(), "says it is complete") {
			t.Fatal(err)
		}
	}
}

// newAskUntilComplete begins a new ask every 50 ms, whatever became of those before, until one is complete: what a relay sees that
// asks for the first time then.
func (r *failoverRig) newAskUntilComplete(ctx context.Context) <-chan time.Time {
	out := make(chan time.Time, 1)
	go func() {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		done := make(chan time.Time, 1)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			go func() {
				if r.ask(ctx, 300*time.Millisecond) == nil {
					select {
					case done <- time.Now():
					default:
					}
				}
			}()
			select {
			case at := <-done:
				out <- at
				return
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// fault is something that happens to the node that the address leads to.
type fault struct {
	name   string
	leader bool // whether that node leads the cluster
	do     func(n *nsNode)
	undo   func(n *nsNode)
}

// faults are those that the project promises something for.
func faults() []fault {
	kill := func(n *nsNode) { n.Kill() }
	start := func(n *nsNode) { n.Start() }
	return []fault{
		{"kill -9 of a follower", false, kill, start},
		{"kill -9 of the leader", true, kill, start},
		{"SIGSTOP of a follower", false, func(n *nsNode) { n.Freeze() }, func(n *nsNode) { n.Thaw() }},
		{"SIGSTOP of the leader", true, func(n *nsNode) { n.Freeze() }, func(n *nsNode) { n.Thaw() }},
		{"link down of a follower", false, func(n *nsNode) { n.Host.LinkDown() }, func(n *nsNode) { n.Host.LinkUp() }},
		{"link down of the leader", true, func(n *nsNode) { n.Host.LinkDown() }, func(n *nsNode) { n.Host.LinkUp() }},
	}
}

// run makes each fault happen so many times to the node that the address leads to, and measures how long the relay is without a
// complete answer.
func (r *failoverRig) run(t *testing.T, faults []fault, rounds int) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			var relay, fresh []time.Duration
			for range rounds {
				again, first := r.strike(t, f)
				relay, fresh = append(relay, again), append(fresh, first)
			}
			t.Logf("relay complete again %s; a new request %s", spread(relay), spread(fresh))
		})
	}
	r.holder(t)
}

// strike makes a fault happen once and undoes it. again is how long the relay went without a complete answer, first how long a
// relay would have that asked for the first time.
func (r *failoverRig) strike(t testing.TB, f fault) (again, first time.Duration) {
	t.Helper()
	n := r.prepare(t, f.leader)
	ctx := deadline(t, time.Minute)
	begin := time.Now()
	f.do(n)
	fresh := r.newAskUntilComplete(ctx)
	again = r.askUntilComplete(t, ctx).Sub(begin)
	select {
	case at := <-fresh:
		first = at.Sub(begin)
	case <-ctx.Done():
		t.Fatal("no new request was answered")
	}
	until(t, ctx, "the address has left "+n.Name, func() bool { return !r.Holds(t, n) })
	f.undo(n)
	return again, first
}

// moves is how often in a row the address may move by itself: that daemons on a busy machine do not hear each other in time is no fault of
// the cluster, but that it moves whenever leadership does would be.
const moves = 2

// prepare waits until all is well and gives leadership to the node that the address leads to, or to another one.
func (r *failoverRig) prepare(t testing.TB, leader bool) *nsNode {
	t.Helper()
	n := r.holder(t)
	for moved := 0; ; moved++ {
		if leads := r.Leader(t); leader != (leads == n) {
			next := n
			if !leader {
				next = r.Nodes[(slices.Index(r.Nodes, n)+1)%len(r.Nodes)]
			}
			r.Lead(t, next)
		}
		h := r.holder(t)
		if h == n {
			break
		}
		if moved == moves {
			t.Fatalf("the address moved from %s to %s though nothing happened, and twice before", n.Name, h.Name)
		}
		t.Logf("the address moved from %s to %s though nothing happened", n.Name, h.Name)
		n = h
	}
	// Two may have held the address when a link came back: the relay asks the wrong one until it is told again.
	began := time.Now()
	if took := r.askUntilComplete(t, deadline(t, time.Minute)).Sub(began); took > time.Second {
		t.Logf("the address led to nobody for %v after the last fault was mended", took.Round(time.Millisecond))
	}
	return n
}

// spread writes durations as p50 and p99.
func spread(d []time.Duration) string {
	slices.Sort(d)
	at := func(p int) time.Duration { return d[min(len(d)-1, len(d)*p/100)].Round(time.Millisecond) }
	return fmt.Sprintf("p50 %v, p99 %v (%d runs)", at(50), at(99), len(d))
}

// safeBinary is the program where nobody but root can change it, as keepalived wants its scripts.
func safeBinary(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/run", "leasehold-test-")
	if err != nil {
		t.Skipf("no folder that only root can write to: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(builtBinary(t))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	path := filepath.Join(dir, "leasehold")
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}
