//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

// anycast is the address that all nodes have in these tests.
const anycast = "2001:db8::547"

// routerConf is bird on the relay, which is the nodes' router as well.
const routerConf = `log stderr all;
router id 10.254.1.1;
protocol device { }
protocol kernel {
    ipv6 { import none; export all; };
}
protocol bfd {
    interface "eth0" { interval 100 ms; multiplier 3; };
}
`

// startBird runs a cluster whose nodes tell a router of their anycast address: agents and bird as leasehold deploy writes them. The
// router is the relay's host and runs bird too.
func startBird(t testing.TB, set ...string) *failoverRig {
	t.Helper()
	bird, birdc, binary := needs(t, "bird", "bird2"), needs(t, "birdc", "bird2"), builtBinary(t)
	r := &failoverRig{nsCluster: startNSCluster(t, 3, set...), Server: net.JoinHostPort(anycast, "547")}
	r.Relay = r.Lab.Host("relay")
	router := routerConf
	for _, n := range r.Nodes {
		dir := filepath.Join(r.Lab.Dir(), "run-"+n.Name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		socket := filepath.Join(dir, "ctl")
		args := []string{"bird", "--address", anycast, "--peer", r.Relay.Addr.String() + "=64500", "--interface", netlab.Interface,
			"--binary", binary, "--birdc", birdc, "--bird-socket", socket}
		for _, m := range r.Nodes {
			args = append(args, "--node", m.Name+"="+m.Host.Addr.String())
		}
		out := filepath.Join(deployWith(t, filepath.Join(dir, "deploy"), args...), n.Name)
		for _, command := range unitCommands(t, filepath.Join(out, "leasehold-anycast.service")) {
			n.Host.Run("ip", command[1:]...)
		}
		n.Host.Start(bird, "-f", "-c", filepath.Join(out, "bird.conf"), "-s", socket, "-P", filepath.Join(dir, "pid"))
		n.Host.Start(binary, unitCommands(t, filepath.Join(out, "leasehold-ready.service"))[0][1:]...)
		router += fmt.Sprintf("protocol bgp %s {\n    local as 64500;\n    neighbor %v as 64512;\n    bfd on;\n    connect delay time 1;\n    connect retry time 2;\n    error wait time 1, 2;\n    ipv6 { import all; export none; };\n}\n", n.Name, n.Host.Addr)
	}
	conf := filepath.Join(r.Lab.Dir(), "router.conf")
	if err := os.WriteFile(conf, []byte(router), 0o644); err != nil {
		t.Fatal(err)
	}
	r.Relay.Start(bird, "-f", "-c", conf, "-s", filepath.Join(r.Lab.Dir(), "ctl"), "-P", filepath.Join(r.Lab.Dir(), "pid"))
	r.Told = func(t testing.TB, n *nsNode, is string) bool {
		out, err := r.Relay.TryRun(birdc, "-s", filepath.Join(r.Lab.Dir(), "ctl"), "show", "route", "count", "protocol", n.Name)
		return err == nil && strings.Contains(out, "1 of ") == (is == "0")
	}
	r.Holds = func(t testing.TB, n *nsNode) bool {
		return strings.Contains(r.Relay.Run("ip", "-6", "route", "show", anycast), "via "+n.Host.Addr.String()+" ")
	}
	return r
}

// TestBirdFailover: the relay asks at an anycast address. When the node that its route leads to is killed, frozen, cut off or
// drained the route is withdrawn, and the complete answer comes from another node.
func TestBirdFailover(t *testing.T) {
	r := startBird(t)
	r.feedRelay(t, 4000)
	if roundsOf(t, 0) == 0 { // sessions take seconds to come back: the rest is left to longer runs
		r.run(t, faults()[:3], 1)
		r.runDrain(t, 1, false)
		return
	}
	r.run(t, faults(), roundsOf(t, 1))
	r.runDrain(t, roundsOf(t, 1), false, true)
}
