//go:build linux

package hosted

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

// Node is a node of a cluster. Its process, once started, is embedded: Kill, Freeze, Thaw, Stop, Output, …
type Node struct {
	*netlab.Process
	Name       string
	Host       *netlab.Host
	Binary     string // what Start runs
	Config     string // path of the configuration file
	DataDir    string
	GRPC       string // host:port, on the bridge
	Leasequery string // host:port, on the bridge; the node listens on port 547 of every address
	HTTP       string // host:port, on the host's loopback
}

// New makes hosts named node1 and on, writes the configuration of nodes that found a cluster together, and starts nothing. Whoever is
// in the lab may ask them anything.
func New(tb testing.TB, lab *netlab.Lab, binary string, nodes int) []*Node {
	tb.Helper()
	var all []*Node
	var join []string
	for i := range nodes {
		h := lab.Host(fmt.Sprintf("node%d", i+1))
		join = append(join, h.AddrPort(5472))
		dir := filepath.Join(lab.Dir(), h.Name)
		all = append(all, &Node{Name: h.Name, Host: h, Binary: binary, Config: dir + ".yaml", DataDir: dir,
			GRPC: h.AddrPort(5470), Leasequery: h.AddrPort(547), HTTP: "127.0.0.1:5473"})
	}
	for _, n := range all {
		if err := n.writeConfig(join); err != nil {
			tb.Fatal(err)
		}
	}
	return all
}

func (n *Node) writeConfig(join []string) error {
	list, err := json.Marshal(join) // JSON is YAML
	if err != nil {
		return err
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
	return os.WriteFile(n.Config, []byte(text), 0o644)
}

// Start runs the node's process and does not wait until it is ready.
func (n *Node) Start() { n.Process = n.Host.Start(n.Binary, "server", "--config", n.Config) }

// Ready asks /readyz, from the node's own host. It is an error, with the reasons, that the node is not ready.
func (n *Node) Ready(ctx context.Context) error {
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

// AwaitReady waits until every one of the nodes whose process runs is ready. The test fails when ctx is over before, or a process.
func AwaitReady(ctx context.Context, tb testing.TB, nodes []*Node) {
	tb.Helper()
	for _, n := range nodes {
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
				tb.Fatalf("%s ended before it was ready (%v); its log:\n%s", n.Name, n.Err(), n.Output())
			case <-ctx.Done():
				tb.Fatalf("%s is not ready: %v; its log:\n%s", n.Name, why, n.Output())
			}
		}
	}
}
