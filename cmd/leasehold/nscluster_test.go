//go:build linux

package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/leasehold/leasehold/cluster/clustertest/hosted"
	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
	"github.com/leasehold/leasehold/cmd/leasehold/config"
	"github.com/leasehold/leasehold/feed"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// nsCluster is a cluster of real processes, each on a host of its own in a lab.
type nsCluster struct {
	Lab   *netlab.Lab
	Nodes []*nsNode
}

// nsNode is one node of an nsCluster.
type nsNode struct {
	*hosted.Node

	tb        testing.TB // whose end is the cluster's
	admin     adminv1.AdminClient
	adminOnce sync.Once
}

// newNSCluster makes a lab with so many nodes, named node1 and on, writes their configuration and starts nothing. The test is
// skipped where there are no namespaces. set is configuration, "key=value", laid over every node's.
func newNSCluster(t testing.TB, nodes int, set ...string) *nsCluster {
	t.Helper()
	binary := builtBinary(t)
	c := &nsCluster{Lab: netlab.New(t)}
	for _, n := range hosted.New(t, c.Lab, binary, nodes) {
		c.Nodes = append(c.Nodes, &nsNode{Node: n, tb: t})
	}
	for _, n := range c.Nodes {
		n.configure(t, set)
	}
	return c
}

// startNSCluster is newNSCluster that starts every node and waits until all are ready.
func startNSCluster(t testing.TB, nodes int, set ...string) *nsCluster {
	t.Helper()
	c := newNSCluster(t, nodes, set...)
	for _, n := range c.Nodes {
		n.Start()
	}
	c.AwaitReady(t)
	return c
}

// configure lays configuration over the node's.
func (n *nsNode) configure(t testing.TB, set []string) {
	t.Helper()
	data, err := os.ReadFile(n.Config)
	if err == nil {
		data, err = config.Overlay(data, set)
	}
	if err == nil {
		_, _, err = config.Parse(n.Config, data, nil)
	}
	if err == nil {
		err = os.WriteFile(n.Config, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// AwaitReady waits until every node whose process runs is ready.
func (c *nsCluster) AwaitReady(t testing.TB) {
	t.Helper()
	var nodes []*hosted.Node
	for _, n := range c.Nodes {
		nodes = append(nodes, n.Node)
	}
	hosted.AwaitReady(deadline(t, time.Minute), t, nodes)
}

// grpcFrom dials from a host.
func grpcFrom(h *netlab.Host) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return h.Dial(ctx, net.Dialer{}, "tcp", addr)
		}),
	}
}

// Admin is a client of the node's administration, on its own host: no cut of a wire comes between.
func (n *nsNode) Admin(t testing.TB) adminv1.AdminClient {
	t.Helper()
	n.adminOnce.Do(func() {
		soon := grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: 2 * time.Second, // a restarted node is found soon
			Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.5, Jitter: 0.2, MaxDelay: 500 * time.Millisecond}})
		conn, err := grpc.NewClient("passthrough:///"+n.GRPC, append(grpcFrom(n.Host), soon)...)
		if err != nil {
			t.Fatal(err)
		}
		n.tb.Cleanup(func() { conn.Close() })
		n.admin = adminv1.NewAdminClient(conn)
	})
	return n.admin
}

// Leader waits until a node says of itself that it leads, and returns it. Only nodes whose process runs are asked; while wires
// are cut there may be another that has not noticed yet.
func (c *nsCluster) Leader(t testing.TB) *nsNode {
	t.Helper()
	ctx := deadline(t, time.Minute)
	var leader *nsNode
	until(t, ctx, "there is a leader", func() bool {
		for _, n := range c.Nodes {
			if n.Process == nil || !n.Running() {
				continue
			}
			call, cancel := context.WithTimeout(ctx, 2*time.Second)
			r, err := n.Admin(t).Status(call, &adminv1.StatusRequest{})
			cancel()
			if err == nil && r.GetLeader() == n.Name {
				leader = n
				return true
			}
		}
		return false
	})
	return leader
}

// Lead makes the node the leader.
func (c *nsCluster) Lead(t testing.TB, n *nsNode) {
	t.Helper()
	ctx := deadline(t, time.Minute)
	until(t, ctx, n.Name+" leads", func() bool {
		leader := c.Leader(t)
		if leader == n {
			return true
		}
		call, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_, err := leader.Admin(t).TransferLeadership(call, &adminv1.TransferLeadershipRequest{To: n.Name})
		return err == nil && c.Leader(t) == n
	})
}

// newAgent makes a feeder of a source that runs on a host and feeds every node in turn.
func (c *nsCluster) newAgent(t testing.TB, from *netlab.Host, name string, s feed.Source) *feed.Agent {
	t.Helper()
	f := feed.Config{Source: name, DialOptions: grpcFrom(from), Logger: slog.New(slog.DiscardHandler)}
	for _, n := range c.Nodes {
		f.Cluster = append(f.Cluster, "passthrough:///"+n.GRPC)
	}
	a, err := feed.New(f, s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// nsRequestor is a requestor that asks from a host.
func nsRequestor(h *netlab.Host) requestor.Config {
	return requestor.Config{ClientID: newDUID(), Rounds: 1, Dial: func(ctx context.Context, server string) (net.Conn, error) {
		return h.Dial(ctx, net.Dialer{Timeout: 5 * time.Second}, "tcp", server)
	}}
}
