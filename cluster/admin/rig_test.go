package admin

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
	"github.com/leasehold/leasehold/cluster/ingest"
	"github.com/leasehold/leasehold/cluster/rpc"
	"github.com/leasehold/leasehold/fsm"
	"github.com/leasehold/leasehold/fsm/binding"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
	peerv1 "github.com/leasehold/leasehold/proto/peer/v1"
)

func TestMain(m *testing.M) { clustertest.Main(m) }

// group is a cluster of real nodes that ask one another, and are administered, over gRPC.
type group struct {
	t testing.TB
	*clustertest.Cluster
	addresses []string
	services  []*Service
	stops     []func()
	conns     *rpc.Pool
	registry  *prometheus.Registry // of node 0's gRPC
}

func newGroup(t testing.TB, voters int) *group {
	t.Helper()
	g := &group{t: t, conns: rpc.NewPool(), registry: prometheus.NewRegistry()}
	listeners := make([]net.Listener, voters)
	pools := make([]*rpc.Pool, voters)
	for i := range listeners {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatalf("listen: %v", err)
		}
		listeners[i], pools[i] = l, rpc.NewPool()
		g.addresses = append(g.addresses, l.Addr().String())
	}
	closePools := func() {
		for _, p := range append(pools, g.conns) {
			if err := p.Close(); err != nil {
				t.Errorf("close pool: %v", err)
			}
		}
	}
	t.Cleanup(closePools) // behind the end of the nodes
	g.Cluster = clustertest.Start(t, clustertest.Options{
		Voters: voters, GRPC: func(i int) string { return g.addresses[i] },
		Peers: func(m *clustertest.Member) cluster.Peers { return rpc.NewPeers(pools[m.Index]) },
	})
	for i, l := range listeners {
		g.serve(i, l, pools[i])
	}
	t.Cleanup(func() {
		for i := range g.addresses {
			g.hush(i)
		}
	})
	for _, m := range g.Members() {
		g.WaitReady(m)
	}
	return g
}

func (g *group) serve(i int, l net.Listener, pool *rpc.Pool) {
	var metrics *rpc.Metrics
	if i == 0 {
		metrics = rpc.NewMetrics(g.registry)
	}
	m, server := g.Member(i), rpc.NewServer(nil, metrics)
	feeds := ingest.New(m.Node(), m.FSM(), pool, nil, nil)
	ingestv1.RegisterIngestServer(server, feeds)
	s := New(m.Node(), m.FSM(), feeds, rpc.NewPeers(pool), pool, nil)
	adminv1.RegisterAdminServer(server, s)
	peerv1.RegisterPeerServer(server, rpc.NewPeerService(m.Node()))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, l) }()
	g.services = append(g.services, s)
	g.stops = append(g.stops, func() {
		feeds.Stop()
		cancel()
		if err := <-ended; err != nil {
			g.t.Errorf("server of node %d: %v", i, err)
		}
	})
}

// ended is how many calls at node 0 ended with the code.
func (g *group) ended(code string) (n float64) {
	g.t.Helper()
	families, err := g.registry.Gather()
	if err != nil {
		g.t.Fatalf("read metrics: %v", err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == rpc.MetricCalls && m.GetLabel()[0].GetValue() == code {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// hush ends the gRPC of node i.
func (g *group) hush(i int) {
	if stop := g.stops[i]; stop != nil {
		g.stops[i] = nil
		stop()
	}
}

// at is a client of node i.
func (g *group) at(i int) adminv1.AdminClient {
	g.t.Helper()
	conn, err := g.conns.Conn(g.addresses[i])
	if err != nil {
		g.t.Fatalf("connect: %v", err)
	}
	return adminv1.NewAdminClient(conn)
}

// propose applies changes of the source as one batch of an epoch of their own: the same batch again while its outcome is unknown.
func (g *group) propose(source string, epoch uint64, changes ...fsm.Change) {
	g.t.Helper()
	for ctx := patient(g.t); ; {
		entry, err := fsm.AppendChanges(nil, fsm.Session{Source: source, Epoch: epoch, Sequence: 1}, changes)
		if err != nil {
			g.t.Fatalf("make entry: %v", err)
		}
		var r fsm.Result
		p, err := g.Leader().Node().Propose(ctx, entry)
		if err == nil {
			r, err = p.Wait(ctx)
		}
		switch {
		case err == nil && (r.Duplicate || r.Counts.Changed+r.Counts.Unchanged > 0):
			return
		case !errors.Is(err, cluster.ErrNotLeader) && !errors.Is(err, cluster.ErrUnknown) || ctx.Err() != nil:
			g.t.Fatalf("proposal came to %+v, %v", r, err)
		}
	}
}

// transfer has a node hand leadership over through node i. An attempt has an election timeout's time, so it may take more than one.
func (g *group) transfer(i int, to string) {
	g.t.Helper()
	until(g.t, "leadership is handed to "+to, func() bool {
		r, err := g.at(i).TransferLeadership(patient(g.t), &adminv1.TransferLeadershipRequest{To: to})
		if err != nil {
			g.t.Logf("transfer: %v", err)
		}
		return err == nil && r.GetLeader() == to
	})
}

func patient(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clustertest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// chain is a relay chain of one level with this link-address, relay-id and remote-id.
func chain(link string, relayID, remoteID string) binding.Chain {
	options := append([]byte{0, 53, 0, byte(len(relayID))}, relayID...)
	options = append(append(options, 0, 37, 0, byte(len(remoteID))), remoteID...)
	return binding.AppendChain(nil, netip.IPv6Unspecified(), []binding.Level{{Link: netip.MustParseAddr(link), Peer: netip.MustParseAddr("fe80::1"), Options: options}})
}

// has is an upsert of a binding with an hour to live.
func has(kind binding.Kind, prefix, duid string, c binding.Chain) fsm.Change {
	return fsm.Change{Change: binding.Change{Event: binding.Upsert, Binding: binding.Binding{Kind: kind, Prefix: netip.MustParsePrefix(prefix),
		DUID: []byte(duid), IAID: 9, Preferred: 1800, Valid: 3600, Chain: c}}}
}

// list is every binding that the call lists, and the view's index.
func list(t testing.TB, c adminv1.AdminClient, r *adminv1.ListBindingsRequest) (all []*adminv1.Binding, index uint64, err error) {
	t.Helper()
	stream, err := c.ListBindings(patient(t), r)
	if err != nil {
		return nil, 0, err
	}
	return drain(stream)
}

func drain(stream grpc.ServerStreamingClient[adminv1.ListBindingsResponse]) (all []*adminv1.Binding, index uint64, err error) {
	for {
		m, err := stream.Recv()
		if err != nil {
			return all, index, err
		}
		index = m.GetIndex()
		all = append(all, m.GetBindings()...)
	}
}

// until waits for a condition.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	clustertest.Until(t, what, condition)
}
