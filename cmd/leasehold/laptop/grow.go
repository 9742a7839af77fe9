package laptop

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/leasehold/leasehold/cmd/leasehold/config"
)

// Add writes the configuration of one more node, with set laid over it, and starts nothing. The node only ever joins.
func (c *Cluster) Add(set ...string) (*Node, error) {
	at, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	join := []string{}
	for _, n := range c.Nodes {
		cfg, _, err := config.Load(n.Config, nil)
		if err != nil {
			return nil, err
		}
		join = append(join, cfg.Gossip.Listen)
	}
	list, err := json.Marshal(join)
	if err != nil {
		return nil, fmt.Errorf("write the new node's configuration: %w", err)
	}
	i := len(c.Nodes)
	all := make([]ports, i+1) // writeNode takes the node's ports from its place
	all[i] = at[0]
	set = append([]string{"cluster.bootstrap_expect=0", "cluster.join=" + string(list)}, set...)
	n, err := writeNode(Config{Binary: c.Nodes[0].binary, Set: set}, c.dir, i, all)
	if err != nil {
		return nil, errors.Join(err, at[0].release())
	}
	c.Nodes = append(c.Nodes, n)
	return n, nil
}

// DataDir is the node's data folder.
func (n *Node) DataDir() string { return filepath.Join(filepath.Dir(n.Config), n.Name) }

// Log is what the node has logged, over all its starts.
func (n *Node) Log() (string, error) {
	b, err := os.ReadFile(n.log)
	if err != nil {
		return "", fmt.Errorf("read log of %s: %w", n.Name, err)
	}
	return string(b), nil
}

// Wipe removes the data folder of a node that does not run: its disk is lost.
func (n *Node) Wipe() error {
	if n.Running() {
		return fmt.Errorf("wipe %s: it runs", n.Name)
	}
	if err := os.RemoveAll(n.DataDir()); err != nil {
		return fmt.Errorf("wipe %s: %w", n.Name, err)
	}
	return nil
}

// Exited is closed when the newest process of a node that was started has ended.
func (n *Node) Exited() <-chan struct{} { return n.exited }

// Configure lays set over the configuration of a node, which reads it at its next start.
func (n *Node) Configure(set ...string) error {
	data, err := os.ReadFile(n.Config)
	if err != nil {
		return fmt.Errorf("configure %s: %w", n.Name, err)
	}
	if data, err = config.Overlay(data, set); err != nil {
		return err
	}
	cfg, _, err := config.Parse(n.Config, data, nil)
	if err != nil {
		return err
	}
	if err := os.WriteFile(n.Config, data, 0o644); err != nil {
		return fmt.Errorf("configure %s: %w", n.Name, err)
	}
	lq := cfg.Leasequery.Listen.String()
	n.LeasequeryTCP, n.LeasequeryUDP, n.GRPC, n.HTTP = lq, lq, cfg.GRPC.Listen, cfg.HTTP.Listen
	return nil
}

// Move gives a node other ports, from its next start on.
func (n *Node) Move() error {
	at, err := freePorts(1)
	if err != nil {
		return err
	}
	var set []string
	for key, addr := range map[string]string{"raft": at[0].raft, "gossip": at[0].gossip, "grpc": at[0].grpc, "http": at[0].http, "leasequery": at[0].leasequery} {
		set = append(set, fmt.Sprintf("%s.listen=%q", key, addr)) // quoted: [::1]:547 is a list else
	}
	if err := n.Configure(set...); err != nil {
		return errors.Join(err, at[0].release())
	}
	old := n.ports
	n.ports = at[0]
	return old.release()
}
