//go:build linux

package netlab

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// bridge is the interface that the ports of all hosts are in.
const bridge = "br0"

// labs numbers the labs of the process, so that tests that run side by side do not share names.
var labs atomic.Int64

// Lab is a set of hosts on one bridge. Its methods end the test when they do not succeed, and may be called from any goroutine.
type Lab struct {
	tb     testing.TB
	prefix string // of the names of all of its namespaces
	wires  string // the namespace of the bridge
	dir    string // where the output of processes goes

	mu    sync.Mutex
	hosts []*Host
}

// New makes a lab without hosts, which is taken away when the test ends. It skips the test where there is no root, ip or nft.
func New(tb testing.TB) *Lab {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("network namespaces need root")
	}
	for _, program := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(program); err != nil {
			tb.Skipf("network namespaces need %s (Debian packages iproute2, nftables)", program)
		}
	}
	removeLeftovers(tb)
	l := &Lab{tb: tb, prefix: fmt.Sprintf("%s%d-", ownPrefix(), labs.Add(1)), dir: tb.TempDir()}
	l.wires = l.prefix + "wires"
	if out, err := exec.Command("ip", "netns", "add", l.wires).CombinedOutput(); err != nil {
		if strings.Contains(string(out), "not permitted") {
			tb.Skipf("network namespaces are not permitted here: %s", strings.TrimSpace(string(out)))
		}
		tb.Fatalf("make a network namespace: %v: %s", err, out)
	}
	tb.Cleanup(l.remove)
	l.ip("-n", l.wires, "link", "add", bridge, "type", "bridge", "stp_state", "0", "forward_delay", "0", "mcast_snooping", "0")
	l.ip("-n", l.wires, "link", "set", bridge, "up")
	l.layCuts()
	return l
}

// Dir is a folder that is removed after everything on the lab's hosts has ended: where their processes keep what they write.
func (l *Lab) Dir() string { return l.dir }

// Hosts are the lab's hosts, in the order in which they were made.
func (l *Lab) Hosts() []*Host {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*Host(nil), l.hosts...)
}

// remove ends every process on the lab's hosts and takes the namespaces away.
func (l *Lab) remove() {
	hosts := l.Hosts()
	for _, h := range hosts {
		killAll(l.tb, h.namespace)
	}
	for _, h := range hosts {
		h.awaitEnds()
		removeNamespace(l.tb, h.namespace)
	}
	removeNamespace(l.tb, l.wires)
}

// ip runs the program of that name.
func (l *Lab) ip(args ...string) {
	l.tb.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		l.tb.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}
