package laptop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/leasehold/leasehold/cmd/leasehold/config"
)

// stopGrace is how long a node may take to stop before it is killed.
const stopGrace = 15 * time.Second

// Config says what cluster to run.
type Config struct {
	Binary string   // the leasehold binary
	Dir    string   // where everything is kept; made if it does not exist
	Nodes  int      // at least 1
	Set    []string // configuration, "key=value", laid over every node's
}

// Cluster is a cluster on this machine. Its JSON form is cluster.json.
type Cluster struct {
	Nodes []*Node `json:"nodes"`

	dir string
}

// New writes the configuration of a cluster and starts nothing. A folder that already holds a cluster is an error.
func New(c Config) (*Cluster, error) {
	if c.Nodes < 1 || c.Nodes > 9 {
		return nil, fmt.Errorf("a cluster of %d nodes: want 1 to 9", c.Nodes)
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("find %q: %w", c.Dir, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node1.yaml")); err == nil {
		return nil, fmt.Errorf("%s already holds a cluster: choose another folder, or start its nodes with leasehold server", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the cluster's folder: %w", err)
	}
	at, err := freePorts(c.Nodes)
	if err != nil {
		return nil, err
	}
	cluster := &Cluster{dir: dir}
	for i := range at {
		n, err := writeNode(c, dir, i, at)
		if err != nil {
			for j := range at {
				err = errors.Join(err, at[j].release())
			}
			return nil, err
		}
		cluster.Nodes = append(cluster.Nodes, n)
	}
	return cluster, nil
}

// writeNode writes the configuration file of node i.
func writeNode(c Config, dir string, i int, at []ports) (*Node, error) {
	name := fmt.Sprintf("node%d", i+1)
	p := at[i]
	var join []string
	for j := range at {
		if j != i {
			join = append(join, at[j].gossip)
		}
	}
	list, err := json.Marshal(join) // JSON is YAML
	if err != nil {
		return nil, fmt.Errorf("write configuration of %s: %w", name, err)
	}
	text := fmt.Sprintf(`name: %s
data_dir: %q
cluster: {name: laptop, bootstrap_expect: %d, join: %s}
raft: {listen: %q}
gossip: {listen: %q}
grpc: {listen: %q}
http: {listen: %q}
leasequery: {listen: %q}
drain: {delay: 0s, timeout: 2s}
requestors:
  - {name: loopback, prefixes: ["::1/128"], relayed: allow}
`, name, filepath.Join(dir, name), c.Nodes, orEmptyList(list, join), p.raft, p.gossip, p.grpc, p.http, p.leasequery)
	data, err := config.Overlay([]byte(text), c.Set)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, name+".yaml")
	cfg, _, err := config.Parse(file, data, nil)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		return nil, fmt.Errorf("write configuration of %s: %w", name, err)
	}
	lq := cfg.Leasequery.Listen.String()
	return &Node{Name: name, Config: file, LeasequeryTCP: lq, LeasequeryUDP: lq, GRPC: cfg.GRPC.Listen, HTTP: cfg.HTTP.Listen,
		binary: c.Binary, log: filepath.Join(dir, name+".log"), ports: p}, nil
}

func orEmptyList(b []byte, list []string) string {
	if len(list) == 0 {
		return "[]"
	}
	return string(b)
}

// Start starts every node and waits until all are ready.
func (c *Cluster) Start(ctx context.Context) error {
	for _, n := range c.Nodes {
		if err := n.Start(); err != nil {
			return err
		}
	}
	return c.AwaitReady(ctx)
}

// AwaitReady waits until every running node is ready.
func (c *Cluster) AwaitReady(ctx context.Context) error {
	for _, n := range c.Nodes {
		if !n.Running() {
			continue
		}
		if err := n.AwaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// WriteFile writes cluster.json, at once and whole.
func (c *Cluster) WriteFile() error {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encode cluster.json: %w", err)
	}
	file := filepath.Join(c.dir, "cluster.json")
	if err := os.WriteFile(file+".new", append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write cluster.json: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("write cluster.json: %w", err)
	}
	return nil
}

// GRPC lists the gRPC addresses of all nodes.
func (c *Cluster) GRPC() []string {
	var out []string
	for _, n := range c.Nodes {
		out = append(out, n.GRPC)
	}
	return out
}

// Leasequery lists the leasequery addresses of all nodes.
func (c *Cluster) Leasequery() []string {
	var out []string
	for _, n := range c.Nodes {
		out = append(out, n.LeasequeryTCP)
	}
	return out
}

// Stop stops every node that still runs, all at once, and waits for them.
func (c *Cluster) Stop() error {
	done := make(chan error, len(c.Nodes))
	for _, n := range c.Nodes {
		go func() { done <- n.Stop(stopGrace) }()
	}
	var errs []error
	for range c.Nodes {
		errs = append(errs, <-done)
	}
	return errors.Join(errs...)
}

// Close stops every node, and lets others have their ports.
func (c *Cluster) Close() error {
	errs := []error{c.Stop()}
	for _, n := range c.Nodes {
		errs = append(errs, n.ports.release())
	}
	return errors.Join(errs...)
}

// Describe names the nodes, with their process ids.
func (c *Cluster) Describe() string {
	var b strings.Builder
	for i, n := range c.Nodes {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s (pid %d)", n.Name, n.PID)
	}
	return b.String()
}
