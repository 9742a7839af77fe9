package deployment

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// Defaults of Bird.
const (
	DefaultAS        = 64512 // the first of those for private use (RFC 6996)
	DefaultRouterIDs = "10.254.0.0"
)

// Peer is a router that the nodes tell their routes to.
type Peer struct {
	Addr netip.Addr // IPv6
	AS   uint32
}

// Bird is a deployment of anycast addresses by BGP.
type Bird struct {
	Plan
	Addresses []netip.Addr // the anycast addresses
	Peers     []Peer       // the routers that each node has a session with
	AS        uint32       // the nodes' own
	RouterIDs netip.Addr   // IPv4: node i has the router id i above it
	BFD       bool         // whether dead neighbours are found by BFD (RFC 5880), in a third of a second
	Birdc     string       // absolute path of birdc on the nodes
	Socket    string       // bird's control socket; empty: its default
}

// birdNode is what a node's templates are given.
type birdNode struct {
	Bird
	Node     Node
	RouterID netip.Addr
	Agent    string
	AfterAll string
	User     string // of the agent; empty: root without capabilities
	Before   string // the unit that starts after the agent; empty: none
}

// Files are the files of every node: bird.conf, leasehold-ready.service and leasehold-anycast.service. Errors wrap ErrPlan.
func (b Bird) Files() ([]File, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	tell := b.Birdc
	if b.Socket != "" {
		tell += " -s " + b.Socket
	}
	first := b.RouterIDs.As4()
	var files []File
	for i, n := range b.Nodes {
		var id [4]byte
		binary.BigEndian.PutUint32(id[:], binary.BigEndian.Uint32(first[:])+uint32(i)+1)
		data := birdNode{Bird: b, Node: n, RouterID: netip.AddrFrom4(id),
			Agent:    fmt.Sprintf("--up \"%s enable leasehold\" --down \"%s disable leasehold\"", tell, tell),
			AfterAll: tell + " disable leasehold", User: "bird"}
		for _, f := range [][2]string{{"bird.conf", "bird.conf.tmpl"}, {"leasehold-ready.service", "ready.service.tmpl"},
			{"leasehold-anycast.service", "anycast.service.tmpl"}} {
			file, err := render(n.Name, f[0], f[1], data)
			if err != nil {
				return nil, err
			}
			files = append(files, file)
		}
	}
	return files, nil
}

func (b Bird) check() error {
	if err := b.Plan.check(); err != nil {
		return err
	}
	seen := map[netip.Addr]bool{}
	for _, n := range b.Nodes {
		seen[n.Addr] = true
	}
	for _, a := range b.Addresses {
		if !usable(a) || seen[a] {
			return fmt.Errorf("%w: anycast address %v: want an IPv6 address that is no node's, once", ErrPlan, a)
		}
		seen[a] = true
	}
	for _, p := range b.Peers {
		if !p.Addr.Is6() || p.Addr.Is4In6() || p.Addr.Zone() != "" || p.AS == 0 || seen[p.Addr] {
			return fmt.Errorf("%w: router %v of AS %d: want its IPv6 address and AS number, once", ErrPlan, p.Addr, p.AS)
		}
		seen[p.Addr] = true
	}
	switch {
	case len(b.Addresses) == 0:
		return fmt.Errorf("%w: no anycast address", ErrPlan)
	case len(b.Peers) == 0:
		return fmt.Errorf("%w: no router to tell", ErrPlan)
	case b.AS == 0:
		return fmt.Errorf("%w: AS 0", ErrPlan)
	case !b.RouterIDs.Is4():
		return fmt.Errorf("%w: router ids from %v: want an IPv4 address", ErrPlan, b.RouterIDs)
	case !plainPath.MatchString(b.Birdc) || (b.Socket != "" && !plainPath.MatchString(b.Socket)):
		return fmt.Errorf("%w: paths of birdc %q and its socket %q: want absolute paths of plain characters", ErrPlan, b.Birdc, b.Socket)
	}
	return nil
}

// Local lists the anycast addresses as arguments of ip.
func (b Bird) Local() []string {
	var out []string
	for _, a := range b.Addresses {
		out = append(out, fmt.Sprintf("%v/128 dev lo preferred_lft 0", a))
	}
	return out
}

// List is the anycast addresses for a title.
func (b Bird) List() string {
	var out []string
	for _, a := range b.Addresses {
		out = append(out, a.String())
	}
	return strings.Join(out, ", ")
}
