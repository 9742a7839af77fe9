//go:build linux

package feedtest

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
	"github.com/leasehold/leasehold/feed/leasetest"
)

// TestDHCPD follows deploy/examples/iscdhcp with a real dhcpd, a real cluster, and clients behind a relay, and behind an LDRA and a relay.
func TestDHCPD(t *testing.T) {
	if testing.Short() {
		t.Skip("whole processes are left out of short runs")
	}
	if _, err := exec.LookPath("dhcpd"); err != nil {
		t.Skip("needs ISC dhcpd (Debian package isc-dhcp-server)")
	}
	t.Parallel()
	lab := netlab.New(t)
	o := &site{T: t, name: "isc-a", cluster: StartCluster(t, lab, program, 3), host: lab.Host("dhcpd")}
	config, file := filepath.Join(lab.Dir(), "dhcpd6.conf"), filepath.Join(lab.Dir(), "dhcpd6.leases")
	nodes, here := o.cluster.nodes()
	example(t, "iscdhcp", lab.Dir(), nodes, here, "/etc/dhcp/dhcpd6.conf", config, "/var/lib/dhcp/dhcpd6.leases", file)
	lay(t, config, "dhcp-cache-threshold 0;\nsubnet6 2001:db8:1005::/64 { default-lease-time 6; min-lease-time 6; max-lease-time 6; preferred-lifetime 5; range6 2001:db8:1005::1 2001:db8:1005::ff; }\n")
	lay(t, file, "")
	o.launch = func() *netlab.Process {
		return o.host.Start("dhcpd", "-6", "-f", "-d", "--no-pid", "-cf", config, "-lf", file, netlab.Interface)
	}
	o.read = func(now time.Time) (map[netip.Prefix]Lease, error) { return readDHCPD(file, now) }
	o.start(filepath.Join(lab.Dir(), "feeder.yaml"))
	air, number := NewAir(t, lab.Host("clients"), o.host.Addr), 0
	single, ldra := Place{Name: "single", Link: netip.MustParseAddr("2001:db8:1001::1"), Relays: 1}, Place{Name: "ldra", Link: netip.MustParseAddr("2001:db8:1000::1"), Relays: 2}
	o.clients = func(n int) []*Client {
		number += n
		return append(air.Clients(number-n, n/2, single), air.Clients(number-n/2, n-n/2, ldra)...)
	}
	o.links = []netip.Addr{single.Link, ldra.Link, Short.Link}
	o.leases()
	short := air.Clients(0, 4, Short)
	for _, c := range short {
		c.AddressOnly = true
	}
	Do(t, short, (*Client).Acquire)
	o.equal("short leases")
	o.gone(short)
	o.equal("expiry")
	Do(t, short, (*Client).Acquire)
	o.equal("leases again that had expired")
	o.restarts()
	o.outage()
}

// readDHCPD reads dhcpd's leases, with the relays that the recipe's variables tell of.
func readDHCPD(file string, now time.Time) (map[netip.Prefix]Lease, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	leases, err := leasetest.ReadDHCPD(string(text), now)
	if err != nil {
		return nil, err
	}
	all := map[netip.Prefix]Lease{}
	for p, l := range leases {
		chain, err := dhcpdChain(l.Set)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", p, err)
		}
		all[p] = Lease{DUID: hex.EncodeToString([]byte(l.DUID)), IAID: l.IAID, Preferred: l.Preferred, Valid: l.Valid, At: l.Transaction.Unix(), Relays: chain}
	}
	return all, nil
}

// dhcpdChain is the chain of relays as Lease has it. Of the relays within the outermost one dhcpd tells no addresses.
func dhcpdChain(set map[string]string) (chain string, err error) {
	value := func(name string) (string, bool) {
		text, ok := set["leasehold-"+name]
		octets, bad := strconv.Unquote(`"` + text + `"`)
		if bad != nil {
			err = fmt.Errorf("%s %q: %w", name, text, bad)
		}
		return octets, ok
	}
	address := func(name string) netip.Addr {
		octets, _ := value(name)
		a, _ := netip.AddrFromSlice([]byte(octets))
		return a
	}
	hops, ok := value("hop-count")
	if !ok || len(hops) != 1 {
		return "", err
	}
	for hop := int(hops[0]); hop >= 0; hop-- {
		link, peer := netip.IPv6Unspecified(), netip.IPv6Unspecified()
		if hop == int(hops[0]) {
			link, peer = address("link-address"), address("peer-address")
		}
		chain += fmt.Sprintf("[%d %v %v ", hop, link, peer)
		for _, o := range []struct {
			code int
			name string
		}{{18, "interface-id"}, {37, "remote-id"}, {38, "subscriber-id"}, {53, "relay-id"}} {
			if octets, ok := value(fmt.Sprintf("%s-%d", o.name, hop+1)); ok {
				chain += fmt.Sprintf("%04x%04x%x", o.code, len(octets), octets)
			}
		}
		chain += "]"
	}
	return chain, err
}
