package ingest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/leasehold/leasehold/cluster/clustertest"
	"github.com/leasehold/leasehold/cluster/rpc"
	"github.com/leasehold/leasehold/feed"
	"github.com/leasehold/leasehold/fsm/binding"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// trio is a cluster of three real nodes whose ingest is served over gRPC.
type trio struct {
	t testing.TB
	*clustertest.Cluster
	addresses []string

	mu    sync.Mutex
	stops map[int]func(abruptly bool)
}

func newTrio(t testing.TB) *trio {
	t.Helper()
	c := &trio{t: t, stops: map[int]func(bool){}}
	listeners := make([]net.Listener, 3)
	for i := range listeners {
		listeners[i] = listen(t, "127.0.0.1:0")
		c.addresses = append(c.addresses, listeners[i].Addr().String())
	}
	c.Cluster = clustertest.New(t, clustertest.Options{GRPC: func(i int) string { return c.addresses[i] }})
	for i, l := range listeners {
		c.serve(i, l)
	}
	t.Cleanup(func() {
		for i := range c.addresses {
			c.hush(i, false)
		}
	})
	return c
}

// listen listens on an address that was just in use, perhaps.
func listen(t testing.TB, addr string) (l net.Listener) {
	t.Helper()
	until(t, "there is a listener on "+addr, func() bool {
		var err error
		l, err = net.Listen("tcp", addr)
		return err == nil
	})
	return l
}

// serve serves the ingest of node i.
func (c *trio) serve(i int, l net.Listener) {
	m, pool, server := c.Member(i), rpc.NewPool(), rpc.NewServer(nil, nil)
	s := New(m.Node(), m.FSM(), pool, nil, nil)
	ingestv1.RegisterIngestServer(server, s)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, l) }()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stops[i] = func(abruptly bool) {
		if abruptly {
			server.Stop()
		}
		s.Stop()
		cancel()
		if err := <-ended; err != nil && !abruptly {
			c.t.Errorf("server of node %d: %v", i, err)
		}
		if err := pool.Close(); err != nil {
			c.t.Errorf("close pool of node %d: %v", i, err)
		}
	}
}

// hush ends the ingest of node i.
func (c *trio) hush(i int, abruptly bool) {
	c.mu.Lock()
	stop := c.stops[i]
	delete(c.stops, i)
	c.mu.Unlock()
	if stop != nil {
		stop(abruptly)
	}
}

// kill kills node i without a word to anybody.
func (c *trio) kill(i int) {
	c.hush(i, true)
	c.Member(i).Kill()
}

// restart starts node i again.
func (c *trio) restart(i int) {
	c.Member(i).Start()
	c.serve(i, listen(c.t, c.addresses[i]))
	c.WaitReady(c.Member(i))
}

// requireLeases requires that every running node has exactly the leases of clients 0 to n, and nothing else.
func (c *trio) requireLeases(n int) {
	c.t.Helper()
	c.RequireSameState()
	v := c.Leader().FSM().View()
	defer v.Release()
	if v.Len() != uint64(n) {
		c.t.Errorf("%d bindings, want %d", v.Len(), n)
	}
	missing := map[string]bool{}
	for i := range n {
		missing[string(lease(i).Address)] = true
	}
	var client binding.Client
	for cursor := v.Select(binding.Query{}); cursor.Next(&client); {
		for _, e := range client.Entries {
			if e.State == binding.Active {
				if a := e.Prefix.Addr().AsSlice(); !missing[string(a)] || !bytes.Equal(client.DUID[7:], a[13:]) {
					c.t.Errorf("binding %v of client %x was not fed, or twice", e.Prefix, client.DUID)
				}
				delete(missing, string(e.Prefix.Addr().AsSlice()))
			}
		}
	}
	if len(missing) > 0 {
		c.t.Errorf("%d leases are missing", len(missing))
	}
}

// stated is a source that states the leases of clients 0 to n, and calls at before the lease with that number.
type stated struct {
	n  int
	at map[int]func()
}

// Run states them as a resync.
func (s *stated) Run(ctx context.Context, sink feed.Sink) error {
	if err := sink.BeginResync(ctx, false); err != nil {
		return err
	}
	for i := range s.n {
		if f := s.at[i]; f != nil {
			f()
		}
		if err := sink.Change(ctx, upsert(lease(i))); err != nil {
			return err
		}
	}
	return sink.EndResync(ctx)
}

// agent is a feeder of the cluster that begins with node first.
func (c *trio) agent(source string, first int, s feed.Source) *feed.Agent {
	c.t.Helper()
	a, err := feed.New(feed.Config{
		Source: source, Cluster: append(append([]string(nil), c.addresses[first:]...), c.addresses[:first]...),
		DialOptions:  []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())},
		BatchChanges: 100, MaxPending: 128 << 10, BackoffMin: 20 * time.Millisecond, BackoffMax: 200 * time.Millisecond,
	}, s)
	if err != nil {
		c.t.Fatalf("make feeder: %v", err)
	}
	return a
}

func (c *trio) run(a *feed.Agent) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	if err := a.Run(ctx); err != nil {
		c.t.Fatalf("feed: %v (%+v)", err, a.Totals())
	}
}

func TestClusterIsFedThroughAnyNode(t *testing.T) {
	c := newTrio(t)
	for i := range c.addresses {
		a := c.agent("kea", i, &stated{n: 3000})
		c.run(a)
		if got := a.Totals(); got.Leases != 3000 || got.Epochs != 1 || got.Sessions != 1 || got.Refused != 0 {
			t.Errorf("fed through node %d: %+v", i, got)
		}
		c.requireLeases(3000)
	}
	a := c.agent("kea", 0, &stated{n: 1000})
	c.run(a)
	// A session that broke off is counted from where it went on.
	if got := a.Totals(); got.Sessions == 1 && (got.Counts.Swept != 2000 || got.Counts.Unchanged != 1000) {
		t.Errorf("a resync with fewer leases came to %+v, want 2000 swept, 1000 unchanged", got)
	}
	c.requireLeases(1000)
}

// The leader, or a follower that passes the session on, dies in the middle of a resync: the feeder goes on at another node, and
// every lease is there once.
func TestNodeDiesInTheMiddleOfAFeed(t *testing.T) {
	const n = 6000
	for _, victim := range []string{"leader", "follower in between", "leader behind a follower"} {
		t.Run(victim, func(t *testing.T) {
			c := newTrio(t)
			leader := c.Leader().Index
			through, dies := leader, leader
			if victim != "leader" {
				through = c.Followers()[0].Index
			}
			if victim == "follower in between" {
				dies = through
			}
			at := 1000 + rand.IntN(n-2000)
			killed := make(chan struct{})
			a := c.agent("kea", through, &stated{n: n, at: map[int]func(){at: func() {
				go func() {
					defer close(killed)
					c.kill(dies)
				}()
			}}})
			c.run(a)
			within(t, "the node is dead", killed)
			if got := a.Totals(); got.Leases != n || got.Epochs != 1 || got.Sessions < 2 || got.Refused != 0 {
				t.Errorf("killed at lease %d: %+v", at, got)
			}
			c.requireLeases(n)
			c.restart(dies)
			c.requireLeases(n)
		})
	}
}

// Nodes die and come back, one after the other, while leases come in.
func TestNodesComeAndGoDuringAFeed(t *testing.T) {
	if testing.Short() {
		t.Skip("takes many elections")
	}
	const n = 20_000
	c := newTrio(t)
	var work sync.WaitGroup
	source := &stated{n: n, at: map[int]func(){}}
	for round := range 4 {
		source.at[(round+1)*4000+rand.IntN(2000)] = func() {
			work.Wait() // one node at a time
			victim := rand.IntN(3)
			if round%2 == 0 {
				victim = c.Leader().Index
			}
			work.Go(func() {
				c.kill(victim)
				c.restart(victim)
			})
		}
	}
	a := c.agent("kea", 0, source)
	c.run(a)
	work.Wait()
	if got := a.Totals(); got.Leases != n || got.Epochs != 1 || got.Refused != 0 {
		t.Errorf("%+v", got)
	}
	c.requireLeases(n)
}

// Leadership moves to and fro while several sources feed through different nodes.
func TestLeadershipMovesDuringFeeds(t *testing.T) {
	c := newTrio(t)
	const n = 4000
	var feeding sync.WaitGroup
	errs := make(chan error, 3)
	for i := range 3 {
		source := &stated{n: n}
		a := c.agent(fmt.Sprintf("kea%d", i), i, source)
		if i == 0 {
			source.at = map[int]func(){}
			for at := 500; at < n; at += 1000 {
				source.at[at] = func() {
					ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
					defer cancel()
					if _, err := c.Leader().Node().TransferLeadership(ctx, ""); err != nil {
						t.Logf("leadership stays: %v", err)
					}
				}
			}
		}
		feeding.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
			defer cancel()
			if err := a.Run(ctx); err != nil {
				errs <- fmt.Errorf("source %d: %w (%+v)", i, err, a.Totals())
			}
		})
	}
	feeding.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	c.requireLeases(n)
}
