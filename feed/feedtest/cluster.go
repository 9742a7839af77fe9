//go:build linux

package feedtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/leasehold/leasehold/cluster/clustertest/hosted"
	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

// Cluster is a cluster of real processes, each on a host of its own.
type Cluster struct {
	Lab   *netlab.Lab
	Nodes []*Node

	tb     testing.TB
	binary string
}

// Node is a node of a Cluster.
type Node = hosted.Node

// StartCluster makes so many nodes, starts them and waits until all are ready.
func StartCluster(tb testing.TB, lab *netlab.Lab, binary string, nodes int) *Cluster {
	tb.Helper()
	c := &Cluster{Lab: lab, Nodes: hosted.New(tb, lab, binary, nodes), tb: tb, binary: binary}
	c.Start()
	return c
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
			n.Start()
		}
	}
	ctx, cancel := context.WithTimeout(c.tb.Context(), Patience)
	defer cancel()
	hosted.AwaitReady(ctx, c.tb, c.Nodes)
}

// Kill ends every node at once, as kill -9 does.
func (c *Cluster) Kill() {
	c.tb.Helper()
	for _, n := range c.Nodes {
		n.Kill()
	}
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
