//go:build linux

package feedtest

import (
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

// KeaConfig is what tests choose of a Kea's configuration. The zero value is of use.
type KeaConfig struct {
	Push    []string // URLs of HA backup peers: Kea sends each change to them
	WaitAck bool     // Kea answers a client when a backup peer has answered it
	LFC     int      // seconds from one compaction of the lease file to the next; 0: none
	Threads int      // 0: Kea serves one client after the other
	Pair    *Pair    // nil: Kea has no partner
}

// Pair makes a server one of two that serve the same clients (Kea's HA hook). Both get the same one, but for Second.
type Pair struct {
	Mode   string // hot-standby or load-balancing
	Hosts  [2]*netlab.Host
	Second bool // the server is that of Hosts[1]
}

// number tells which of the two the server is.
func (p *Pair) number() int {
	if p.Second {
		return 1
	}
	return 0
}

// name is how the HA hook calls a server.
func (p *Pair) name(i int) string { return fmt.Sprintf("server%d", i+1) }

// role is a server's in its mode.
func (p *Pair) role(i int) string {
	switch {
	case i == 0:
		return "primary"
	case p.Mode == "hot-standby":
		return "standby"
	}
	return "secondary"
}

// Shared is a link with two subnets: the first has few addresses, so that clients get some of the second, which does not hold the
// link-address of their relay.
var (
	Single = Place{Name: "single", Link: netip.MustParseAddr("2001:db8:1001::1"), Relays: 1}
	LDRA   = Place{Name: "ldra", Link: netip.MustParseAddr("2001:db8:1002::1"), Relays: 2}
	Shared = Place{Name: "shared", Link: netip.MustParseAddr("2001:db8:1003::1"), Relays: 1}
	Short  = Place{Name: "short", Link: netip.MustParseAddr("2001:db8:1005::1"), Relays: 1}
	OnLink = Place{Name: "onlink", Link: netip.MustParseAddr("2001:db8:1006::1")}
	Bridge = Place{Name: "bridge", Link: netip.MustParseAddr("2001:db8:547::1"), Relays: 1} // perfdhcp's relay is of the lab itself
)

// ShortLife is the valid lifetime at Short, in seconds.
const ShortLife = 6

// Place is where clients are: their link's address, and through how many relays they speak: none, a relay, or an LDRA (RFC 6221)
// and a relay.
type Place struct {
	Name   string
	Link   netip.Addr
	Relays int
}

// Places are all of them.
func Places() []Place { return []Place{Single, LDRA, Shared, Short, OnLink, Bridge} }

// subnet is a subnet of 2^16 addresses and 2^16 prefixes to delegate; members change it.
func subnet(id int, prefix string, members map[string]any) map[string]any {
	s := map[string]any{
		"id": id, "subnet": prefix + "/64", "pools": []any{map[string]any{"pool": prefix + "1:0/112"}},
		"pd-pools": []any{map[string]any{"prefix": fmt.Sprintf("2001:db8:a%03x::", id), "prefix-len": 48, "delegated-len": 64}},
	}
	for name, value := range members {
		s[name] = value
	}
	return s
}

// members are those of "Dhcp6", without what names files.
func (c KeaConfig) members(host *netlab.Host) map[string]any {
	m := map[string]any{
		"interfaces-config":   map[string]any{"interfaces": []string{netlab.Interface + "/" + host.Addr.String()}, "service-sockets-max-retries": 5},
		"server-id":           map[string]any{"type": "EN", "enterprise-id": 32473, "identifier": fmt.Sprintf("%X", host.Addr.AsSlice()), "persist": false},
		"store-extended-info": true,
		"valid-lifetime":      7200, "preferred-lifetime": 3600, "renew-timer": 1800, "rebind-timer": 2880,
		"decline-probation-period": 3600,
		"expired-leases-processing": map[string]any{
			"reclaim-timer-wait-time": 1, "flush-reclaimed-timer-wait-time": 2, "hold-reclaimed-time": 3, "max-reclaim-leases": 0, "max-reclaim-time": 0,
		},
		"multi-threading": map[string]any{"enable-multi-threading": c.Threads > 0, "thread-pool-size": c.Threads, "packet-queue-size": 1000},
		"hooks-libraries": c.hooks(host),
		"loggers":         []any{map[string]any{"name": "kea-dhcp6", "severity": "WARN", "output_options": []any{map[string]any{"output": "stdout"}}}},
		"subnet6": []any{
			subnet(1, "2001:db8:1001::", nil),
			subnet(2, "2001:db8:1002::", nil),
			subnet(5, "2001:db8:1005::", map[string]any{"valid-lifetime": ShortLife, "preferred-lifetime": 5, "renew-timer": 3, "rebind-timer": 4}),
			subnet(6, "2001:db8:1006::", map[string]any{"interface": netlab.Interface}),
			subnet(7, "2001:db8:547::", nil),
		},
		"shared-networks": []any{map[string]any{"name": "metro-ring", "subnet6": []any{
			subnet(3, "2001:db8:1003::", map[string]any{"pools": []any{map[string]any{"pool": "2001:db8:1003::10-2001:db8:1003::4f"}}}),
			subnet(4, "2001:db8:1004::", nil),
		}}},
	}
	if c.Pair != nil && c.Pair.Mode == "load-balancing" {
		c.split(m)
	}
	return m
}

// split gives each server of a pair that share the clients pools of its own at Single and LDRA: both would give the same addresses at the same moment.
// Clients are divided by the classes HA_server1 and HA_server2, which the hook makes.
func (c KeaConfig) split(members map[string]any) {
	half := func(id int, prefix string) map[string]any {
		var pools, delegated []any
		for i := range c.Pair.Hosts {
			class := "HA_" + c.Pair.name(i)
			pools = append(pools, map[string]any{"pool": fmt.Sprintf("%s%d:0/112", prefix, i+1), "client-class": class})
			delegated = append(delegated, map[string]any{"prefix": fmt.Sprintf("2001:db8:a%03x:%d000::", id, 8*i), "prefix-len": 49, "delegated-len": 64, "client-class": class})
		}
		return map[string]any{"id": id, "subnet": prefix + "/64", "pools": pools, "pd-pools": delegated}
	}
	subnets := members["subnet6"].([]any)
	subnets[0], subnets[1] = half(1, "2001:db8:1001::"), half(2, "2001:db8:1002::")
}

func (c KeaConfig) hooks(host *netlab.Host) []any {
	const folder = "/usr/lib/*/kea/hooks"
	library := func(name string) string {
		found, _ := filepath.Glob(filepath.Join(folder, name)) // the pattern is good
		if len(found) == 0 {
			return name // which Kea will tell of
		}
		return found[0]
	}
	hooks := []any{map[string]any{"library": library("libdhcp_lease_cmds.so")}}
	if len(c.Push) == 0 {
		return hooks
	}
	threads := map[string]any{"enable-multi-threading": c.Threads > 0, "http-client-threads": c.Threads, "http-listener-threads": c.Threads, "http-dedicated-listener": c.Threads > 0}
	ha := map[string]any{"this-server-name": "server1", "mode": "passive-backup", "wait-backup-ack": c.WaitAck, "multi-threading": threads}
	peers := []any{map[string]any{"name": "server1", "url": fmt.Sprintf("http://%v:8001/", host.Addr4), "role": "primary"}}
	if p := c.Pair; p != nil {
		peers = nil
		for i, h := range p.Hosts {
			peers = append(peers, map[string]any{"name": p.name(i), "url": fmt.Sprintf("http://%v:8001/", h.Addr4), "role": p.role(i)})
		}
		maps.Copy(ha, map[string]any{
			"this-server-name": p.name(p.number()), "mode": p.Mode, // a partner is down when it has not answered for 2 s
			"heartbeat-delay": 300, "max-response-delay": 2000, "max-ack-delay": 1000, "max-unacked-clients": 0,
		})
		delete(ha, "wait-backup-ack")
	}
	for i, url := range c.Push {
		peers = append(peers, map[string]any{"name": fmt.Sprintf("leasehold%d", i), "url": url, "role": "backup"})
	}
	ha["peers"] = peers
	return append(hooks, map[string]any{"library": library("libdhcp_ha.so"), "parameters": map[string]any{"high-availability": []any{ha}}})
}
