//go:build linux

package main

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

// virtual is the address that the nodes share in these tests.
const virtual = "2001:db8:547::547"

// startKeepalived runs a cluster whose nodes share a virtual address: agents and keepalived as leasehold deploy writes them.
func startKeepalived(t testing.TB, set ...string) *failoverRig {
	t.Helper()
	keepalived := needs(t, "keepalived", "keepalived")
	binary := safeBinary(t)
	r := &failoverRig{nsCluster: startNSCluster(t, 3, set...), Server: net.JoinHostPort(virtual, "547")}
	r.Relay = r.Lab.Host("relay")
	tracks := map[*nsNode]string{}
	for _, n := range r.Nodes {
		dir := filepath.Join(r.Lab.Dir(), "run-"+n.Name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		tracks[n] = filepath.Join(dir, "keepalived")
		n.Host.Run(binary, "deploy", "keepalived", "--cluster", n.GRPC, "--address", virtual+"/64", "--interface", netlab.Interface,
			"--binary", binary, "--track-file", tracks[n], "--out", dir)
		out := filepath.Join(dir, n.Name)
		n.Host.Start(binary, unitCommands(t, filepath.Join(out, "leasehold-ready.service"))[0][1:]...)
		n.Host.Start(keepalived, "--dont-fork", "--log-console", "--log-detail", "--use-file", filepath.Join(out, "keepalived.conf"),
			"--pid", filepath.Join(dir, "pid"), "--vrrp_pid", filepath.Join(dir, "vrrp"), "--checkers_pid", filepath.Join(dir, "checkers"))
	}
	r.Told = func(t testing.TB, n *nsNode, is string) bool {
		b, err := os.ReadFile(tracks[n])
		return err == nil && strings.TrimSpace(string(b)) == is
	}
	r.Holds = func(t testing.TB, n *nsNode) bool { return hasAddress(t, n.Host, virtual) }
	return r
}

// unitCommands are the commands that a unit starts, split as systemd does: at spaces, but not within quotes.
func unitCommands(t testing.TB, unit string) (commands [][]string) {
	t.Helper()
	b, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		command, ok := strings.CutPrefix(line, "ExecStart=")
		if !ok {
			continue
		}
		var words []string
		for i, part := range strings.Split(strings.TrimSpace(command), `"`) {
			if i%2 == 1 {
				words = append(words, part)
			} else {
				words = append(words, strings.Fields(part)...)
			}
		}
		commands = append(commands, words)
	}
	if len(commands) == 0 {
		t.Fatalf("%s has no ExecStart", unit)
	}
	return commands
}

// hasAddress tells whether a host has an address on its interface.
func hasAddress(t testing.TB, h *netlab.Host, address string) bool {
	t.Helper()
	want, found := netip.MustParseAddr(address), false
	err := h.Do(func() error {
		addrs, err := net.InterfaceAddrs()
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr() == want {
				found = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestKeepalivedFailover: the relay asks at a virtual address while the node that holds it is killed, frozen and cut off, as a
// follower and as the leader. Each time it gets the complete answer at the same address. While the node is drained it sees no
// error at all, if it tries again once.
func TestKeepalivedFailover(t *testing.T) {
	r := startKeepalived(t)
	r.feedRelay(t, 4000)
	r.run(t, faults(), roundsOf(t, 1))
	r.runDrain(t, roundsOf(t, 1), false, true)
}

// TestKeepalivedTakesWhatIsWritten: keepalived itself checks the configuration, with multicast and unicast and several addresses. Its
// check (of 2.2.7) ends itself by a signal when scripts have a user other than root, so that line is another one here.
func TestKeepalivedTakesWhatIsWritten(t *testing.T) {
	keepalived := needs(t, "keepalived", "keepalived")
	binary := safeBinary(t)
	h := netlab.New(t).Host("node1")
	for _, more := range [][]string{nil, {"--unicast", "--address", "2001:db8:547::548/64", "--advert", "1s"}} {
		args := append(append([]string{}, examples["keepalived"]...), "--binary", binary, "--interface", netlab.Interface)
		file := filepath.Join(deployWith(t, t.TempDir(), append(args, more...)...), "node1", "keepalived.conf")
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(string(b), "script_user nobody nogroup", "script_user root", 1)
		for _, tc := range []struct {
			text string
			good bool
		}{{text, true}, {strings.Replace(text, "virtual_router_id", "virtual_ruter_id", 1), false}} {
			if err := os.WriteFile(file, []byte(tc.text), 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := h.TryRun(keepalived, "--config-test", "--use-file", file)
			if (err == nil && strings.TrimSpace(out) == "") != tc.good {
				t.Errorf("keepalived --config-test with %q: %v: %s (want it good: %t)", more, err, out, tc.good)
			}
		}
	}
}
