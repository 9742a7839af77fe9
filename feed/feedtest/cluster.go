//go:build linux

package feedtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

// Cluster is a cluster of real processes, each on a host of its own.
type Cluster struct {
	Lab   *netlab.Lab
	Nodes []*Node

	tb     testing.TB
	binary string
}

// Node is a node of a Cluster. Its process is embedded: Kill, Freeze, Stop, Output, …
type Node struct {
	*netlab.Process
	Name       string
	Host       *netlab.Host
	GRPC       string // host:port
	Leasequery string // host:port

	binary, config string
}

// StartCluster makes so many nodes, starts them and waits until all are ready.
func StartCluster(tb testing.TB, lab *netlab.Lab, binary string, nodes int) *Cluster {
	tb.Helper()
	c := &Cluster{Lab: lab, tb: tb, binary: binary}
	var join []string
	for i := range nodes {
		h := lab.Host(fmt.Sprintf("node%d", i+1))
		join = append(join, h.AddrPort(5472))
		c.Nodes = append(c.Nodes, &Node{Name: h.Name, Host: h, GRPC: h.AddrPort(5470), Leasequery: h.AddrPort(547), binary: binary,
			config: filepath.Join(lab.Dir(), h.Name+".yaml")})
	}
	for _, n := range c.Nodes {
		n.configure(tb, join)
	}
	c.Start()
	return c
}

func (n *Node) configure(tb testing.TB, join []string) {
	tb.Helper()
	list, err := json.Marshal(join) // JSON is YAML
	if err != nil {
		tb.Fatal(err)
	}
	text := fmt.Sprintf(`name: %s
data_dir: %q
cluster: {name: lab, bootstrap_expect: %d, join: %s}
insecure: true
raft: {listen: %q}
gossip: {listen: %q}
grpc: {listen: %q}
http: {listen: "127.0.0.1:5473"}
leasequery: {listen: "[::]:547"}
requestors:
  - {name: lab, prefixes: ["2001:db8:547::/64"], relayed: allow}
`, n.Name, filepath.Join(filepath.Dir(n.config), n.Name), len(join), list, n.Host.AddrPort(5471), n.Host.AddrPort(5472), n.GRPC)
	if err := os.WriteFile(n.config, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// GRPC is what an agent's --cluster wants.
func (c *Cluster) GRPC() string {
	var all []string
	for _, n := range c.Nodes {
		all = append(all, n.GRPC)
	}
	return strings.Join(all, ",")
}

// Start starts the nodes that do not run and waits until all are ready.
func (c *Cluster) Start() {
	c.tb.Helper()
	for _, n := range c.Nodes {
		if n.Process == nil || !n.Running() {
			n.Process = n.Host.Start(n.binary, "server", "--config", n.config)
		}
	}
	for _, n := range c.Nodes {
		Until(c.tb, n.Name+" is ready", func(ctx context.Context) error {
			if !n.Running() {
				return &neverError{fmt.Errorf("it ended: %w:\n%s", n.Err(), n.Output())}
			}
			return n.ready(ctx)
		})
	}
}

// Kill ends every node at once, as kill -9 does.
func (c *Cluster) Kill() {
	c.tb.Helper()
	for _, n := range c.Nodes {
		n.Kill()
	}
}

func (n *Node) ready(ctx context.Context) error {
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		return n.Host.Dial(ctx, net.Dialer{}, network, addr)
	}
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:5473/readyz", nil)
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

// Leader waits until the nodes that run agree on a leader among them, and returns it.
func (c *Cluster) Leader() (leader *Node) {
	c.tb.Helper()
	Until(c.tb, "there is a leader", func(ctx context.Context) error {
		leader = nil
		for _, n := range c.Nodes {
			if !n.Running() {
				continue
			}
			out, err := c.command(ctx, n, "status", "--json", "--cluster", n.GRPC)
			if err != nil {
				return err
			}
			var status struct{ Leader string }
			if err := json.Unmarshal(out, &status); err != nil {
				return err
			}
			for _, other := range c.Nodes {
				if other.Name == status.Leader && other.Running() && (leader == nil || leader == other) {
					leader = other
				} else if other.Name == status.Leader {
					return fmt.Errorf("%s takes %s for the leader", n.Name, other.Name)
				}
			}
		}
		if leader == nil {
			return errors.New("no node knows one")
		}
		return nil
	})
	return leader
}

// Follower is a node that runs and does not lead.
func (c *Cluster) Follower() *Node {
	c.tb.Helper()
	leader := c.Leader()
	for _, n := range c.Nodes {
		if n != leader && n.Running() {
			return n
		}
	}
	c.tb.Fatal("no node but the leader runs")
	return nil
}

// command runs the program on a node's host and returns what it wrote to its standard output.
func (c *Cluster) command(ctx context.Context, n *Node, args ...string) (out []byte, err error) {
	var stderr bytes.Buffer
	err = n.Host.Do(func() error {
		cmd := exec.CommandContext(ctx, c.binary, args...)
		cmd.Stderr = &stderr
		out, err = cmd.Output()
		return err
	})
	if err != nil {
		return out, fmt.Errorf("leasehold %s: %w: %s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out, nil
}
