//go:build linux

package feedtest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
	"github.com/leasehold/leasehold/feed/leasetest"
)

// dnsmasqLife is for how long a lease of the recipe is granted, in seconds.
const dnsmasqLife = 7200

// TestDnsmasq follows deploy/examples/dnsmasq with a real dnsmasq, a real cluster, and clients behind a relay. The relays are held
// against what the clients' relay has sent: dnsmasq's file does not have them.
func TestDnsmasq(t *testing.T) {
	if testing.Short() {
		t.Skip("whole processes are left out of short runs")
	}
	if _, err := exec.LookPath("dnsmasq"); err != nil {
		t.Skip("needs dnsmasq (Debian package dnsmasq-base)")
	}
	t.Parallel()
	lab := netlab.New(t)
	o := &site{T: t, name: "dnsmasq-a", cluster: StartCluster(t, lab, program, 3), host: lab.Host("dnsmasq"), fragile: true}
	in := func(name string) string { return filepath.Join(lab.Dir(), name) }
	nodes, here := o.cluster.nodes()
	example(t, "dnsmasq", lab.Dir(), nodes, here, "/usr/local/sbin/leasehold-event", in("leasehold-event"), "/var/lib/misc/dnsmasq.leases", in("leases"),
		"/run/leasehold-feed/dnsmasq.sock", in("sock"), "/var/lib/leasehold-feed/dnsmasq.state", in("state"), "exec leasehold", "exec "+program)
	o.launch = func() *netlab.Process {
		return o.host.Start("dnsmasq", "--conf-file="+in("dnsmasq.conf"), "--port=0", "--no-daemon", "--no-resolv", "--no-hosts", "--user=root", "--interface="+netlab.Interface,
			"--except-interface=lo", "--bind-dynamic", "--pid-file="+in("pid"), "--dhcp-authoritative")
	}
	behind := Place{Name: "single", Link: netip.MustParseAddr("2001:db8:1000::1"), Relays: 1}
	o.read = func(now time.Time) (map[netip.Prefix]Lease, error) { return readDnsmasq(in("leases"), behind.Link) }
	o.start(in("feeder.yaml"))
	air, number := NewAir(t, lab.Host("clients"), o.host.Addr), 0
	o.clients = func(n int) []*Client {
		number += n
		all := air.Clients(number-n, n, behind)
		for _, c := range all {
			c.AddressOnly = true
		}
		return all
	}
	o.links = []netip.Addr{behind.Link}
	o.leases()
	o.restarts()
	o.outage()
}

// errRewritten is that dnsmasq is writing its file.
var errRewritten = errors.New("dnsmasq's file is not whole")

// readDnsmasq reads dnsmasq's leases: all of them of the recipe's range, and of clients behind a relay of one link.
func readDnsmasq(file string, link netip.Addr) (map[netip.Prefix]Lease, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(string(text), "duid ") || !strings.HasSuffix(string(text), "\n") {
		return nil, errRewritten
	}
	all := map[netip.Prefix]Lease{}
	for address, f := range leasetest.ReadDnsmasq(string(text)) {
		expires, err := strconv.ParseInt(f[0], 10, 64)
		if err != nil {
			return nil, err
		}
		iaid, err := strconv.ParseUint(f[1], 10, 32)
		if err != nil {
			return nil, err
		}
		duid, err := hex.DecodeString(strings.ReplaceAll(f[4], ":", ""))
		if err != nil {
			return nil, err
		}
		all[netip.MustParsePrefix(address)] = Lease{DUID: hex.EncodeToString(duid), IAID: uint32(iaid), Preferred: dnsmasqLife, Valid: dnsmasqLife, At: expires - dnsmasqLife,
			Relays: fmt.Sprintf("[0 %v :: ]", link)}
	}
	return all, nil
}
