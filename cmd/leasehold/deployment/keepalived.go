package deployment

import (
	"fmt"
	"net/netip"
	"time"
)

// Defaults of Keepalived.
const (
	DefaultAdvert   = 100 * time.Millisecond
	DefaultRouterID = 47
	TrackFile       = "/run/leasehold-ready/keepalived" // as the agent's unit writes it
)

// priority is that of every node: with equal ones the address stays where it is when a node comes back, and still leaves one
// whose priority falls (keepalived's nopreempt would keep it there).
const priority = 200

// Keepalived is a deployment of virtual addresses on one network.
type Keepalived struct {
	Plan
	Addresses []netip.Prefix // the virtual addresses, each with the length of the network's prefix
	RouterID  int            // VRRP's virtual router id of the first address; each further one has the next. 1 to 255
	Advert    time.Duration  // between VRRP advertisements, in whole hundredths of a second
	Unicast   bool           // advertise to each node's address, for networks without multicast
	TrackFile string         // where the agent tells keepalived of readiness
}

// vrrp is a virtual address for the template.
type vrrp struct {
	Name      string
	Address   netip.Prefix
	LinkLocal netip.Prefix
	RouterID  int
}

// Files are the files of every node: keepalived.conf and leasehold-ready.service. Errors wrap ErrPlan.
func (k Keepalived) Files() ([]File, error) {
	if err := k.check(); err != nil {
		return nil, err
	}
	var routers []vrrp
	for i, a := range k.Addresses {
		local := netip.MustParseAddr("fe80::547:0").As16()
		local[15] = byte(k.RouterID + i)
		routers = append(routers, vrrp{Name: fmt.Sprintf("leasehold%d", i+1), Address: a, RouterID: k.RouterID + i,
			LinkLocal: netip.PrefixFrom(netip.AddrFrom16(local), 64)})
	}
	var files []File
	for _, n := range k.Nodes {
		var peers []Node
		for _, other := range k.Nodes {
			if other != n {
				peers = append(peers, other)
			}
		}
		data := struct {
			Keepalived
			Node     Node
			Peers    []Node
			Routers  []vrrp
			Priority int
			Seconds  string
			Agent    string
			AfterAll string
			User     string
			Before   string
		}{k, n, peers, routers, priority, seconds(k.Advert), "--track-file " + k.TrackFile, "echo 3 >" + k.TrackFile, "", "keepalived.service"}
		for _, f := range [][2]string{{"keepalived.conf", "keepalived.conf.tmpl"}, {"leasehold-ready.service", "ready.service.tmpl"}} {
			file, err := render(n.Name, f[0], f[1], data)
			if err != nil {
				return nil, err
			}
			files = append(files, file)
		}
	}
	return files, nil
}

func (k Keepalived) check() error {
	if err := k.Plan.check(); err != nil {
		return err
	}
	seen := map[netip.Addr]bool{}
	for _, n := range k.Nodes {
		seen[n.Addr] = true
	}
	for _, a := range k.Addresses {
		switch {
		case !usable(a.Addr()):
			return fmt.Errorf("%w: virtual address %v: want an IPv6 address with its prefix length", ErrPlan, a)
		case seen[a.Addr()]:
			return fmt.Errorf("%w: virtual address %v is a node's, or given twice", ErrPlan, a.Addr())
		}
		seen[a.Addr()] = true
	}
	switch last := k.RouterID + len(k.Addresses) - 1; {
	case len(k.Addresses) == 0:
		return fmt.Errorf("%w: no virtual address", ErrPlan)
	case k.RouterID < 1 || last > 255:
		return fmt.Errorf("%w: virtual router ids %d to %d: want 1 to 255", ErrPlan, k.RouterID, last)
	case k.Advert < 10*time.Millisecond || k.Advert > 40*time.Second || k.Advert%(10*time.Millisecond) != 0:
		return fmt.Errorf("%w: advertisements each %v: want 10ms to 40s in hundredths of a second", ErrPlan, k.Advert)
	case !plainPath.MatchString(k.TrackFile):
		return fmt.Errorf("%w: track file %q: want an absolute path of plain characters", ErrPlan, k.TrackFile)
	}
	return nil
}

// seconds writes a duration as keepalived wants it.
func seconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }
