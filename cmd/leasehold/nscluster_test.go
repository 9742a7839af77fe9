//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

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

// nsNode is one node of an nsCluster. Its process, once started, is embedded: Kill, Freeze, Thaw, Stop, Output, …
type nsNode struct {
	*netlab.Process
	Name       string
	Host       *netlab.Host
	Binary     string // what Start runs
	Config     string // path of the configuration file
	DataDir    string
	GRPC       string // host:port, on the bridge
	Leasequery string // host:port, on the bridge; the node listens on port 547 of every address
	HTTP       string // host:port, on the host's loopback

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
	var join []string
	for i := range nodes {
		h := c.Lab.Host(fmt.Sprintf("node%d", i+1))
		join = append(join, h.AddrPort(5472))
		dir := filepath.Join(c.Lab.Dir(), h.Name)
		c.Nodes = append(c.Nodes, &nsNode{Name: h.Name, Host: h, Binary: binary, Config: dir + ".yaml", DataDir: dir,
			GRPC: h.AddrPort(5470), Leasequery: h.AddrPort(547), HTTP: "127.0.0.1:5473", tb: t})
	}
	for _, n := range c.Nodes {
		n.writeConfig(t, join, set)
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

func (n *nsNode) writeConfig(t testing.TB, join, set []string) {
	t.Helper()
	list, err := json.Marshal(join) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`name: %s
data_dir: %q
cluster: {name: lab, bootstrap_expect: %d, join: %s}
insecure: true
raft: {listen: %q}
gossip: {listen: %q}
grpc: {listen: %q}
http: {listen: %q}
leasequery: {listen: "[::]:547"}
bulk: {max_connections: 1000}
drain: {delay: 1s, timeout: 2s}
requestors:
  - {name: lab, prefixes: ["2001:db8:547::/64", "::1/128"], relayed: allow}
`, n.Name, n.DataDir, len(join), list, n.Host.AddrPort(5471), n.Host.AddrPort(5472), n.GRPC, n.HTTP)
	data, err := config.Overlay([]byte(text), set)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := config.Parse(n.Config, data, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(n.Config, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Start runs the node's process and does not wait until it is ready.
func (n *nsNode) Start() { n.Process = n.Host.Start(n.Binary, "server", "--config", n.Config) }

// Ready asks /readyz, from the node's own host. It is an error, with the reasons, that the node is not ready.
func (n *nsNode) Ready(ctx context.Context) error {
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		return n.Host.Dial(ctx, net.Dialer{}, network, addr)
	}
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.HTTP+"/readyz", nil)
	if err != nil {
		return err
	}
	r, err := client.Do(request)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = errors.New(strings.TrimSpace(string(b)))
	}
	return err
}

// AwaitReady waits until every node whose process runs is ready.
func (c *nsCluster) AwaitReady(t testing.TB) {
	t.Helper()
	ctx := deadline(t, time.Minute)
	for _, n := range c.Nodes {
		if n.Process == nil || !n.Running() {
			continue
		}
		var why error
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			if why = n.Ready(ctx); why == nil {
				tick.Stop()
				break
			}
			select {
			case <-tick.C:
			case <-n.Done():
				t.Fatalf("%s ended before it was ready (%v); its log:\n%s", n.Name, n.Err(), n.Output())
			case <-ctx.Done():
				t.Fatalf("%s is not ready: %v; its log:\n%s", n.Name, why, n.Output())
			}
		}
	}
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
