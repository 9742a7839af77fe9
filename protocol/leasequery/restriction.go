package leasequery

import (
	"net/netip"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
)

// Restriction names what a requestor relays: it sees these bindings and no others. With nothing named it is what came through
// the address that the requestor asks from.
type Restriction struct {
	Links     []netip.Prefix // bindings on a link with a prefix in one of these
	RelayIDs  [][]byte       // bindings whose chain has one of these relay-ids
	Addresses []netip.Addr   // bindings whose chain has one of these as a relay's link-address or source
}

// restrictor applies a restriction to the bindings of one answer.
type restrictor struct {
	links     []netip.Prefix
	relayIDs  [][]byte
	addresses []netip.Addr

	link      binding.LinkID // the link that linkSeen is about
	linkSeen  bool           // whether everything on it may be seen
	chain     *byte          // the chain that chainSeen is about: a client's bindings mostly share one
	chainSeen bool
	own       [1]netip.Addr // the requestor's own address, where that is what it is restricted to
}

// of makes x the restrictor of a request and returns it; nil when the requestor sees everything.
func (x *restrictor) of(r *Requestor, peer netip.Addr) *restrictor {
	if r == nil || r.Restricted == nil {
		return nil
	}
	to := r.Restricted
	*x = restrictor{links: to.Links, relayIDs: to.RelayIDs, addresses: to.Addresses, own: x.own}
	if len(to.Links) == 0 && len(to.RelayIDs) == 0 && len(to.Addresses) == 0 {
		x.own[0] = peer.Unmap().WithZone("")
		x.addresses = x.own[:]
	}
	return x
}

// forget makes ready for another client. Octets of the one before may since have been overwritten with other ones.
func (x *restrictor) forget() {
	if x != nil {
		x.chain = nil
	}
}

// permits tells whether the requestor may see the entry, which is on the link.
func (x *restrictor) permits(view binding.View, link binding.LinkID, e *binding.Entry) bool {
	if x == nil {
		return true
	}
	if x.link != link {
		x.link, x.linkSeen = link, x.holdsLink(view, link)
	}
	if x.linkSeen {
		return true
	}
	if len(e.Chain) == 0 {
		return false
	}
	if x.chain != &e.Chain[0] {
		x.chain, x.chainSeen = &e.Chain[0], x.holdsChain(e.Chain)
	}
	return x.chainSeen
}

func (x *restrictor) holdsLink(view binding.View, link binding.LinkID) bool {
	for _, p := range view.LinkPrefixes(link) {
		for _, r := range x.links {
			if r.Bits() <= p.Bits() && r.Contains(p.Addr()) {
				return true
			}
		}
	}
	return false
}

// holdsChain looks for the requestor in a chain. A relay shows as the link-address of its level, or as the peer-address of the
// level above it, which the outermost relay's sender is.
func (x *restrictor) holdsChain(c binding.Chain) bool {
	source := c.Sender()
	for l := range c.Levels {
		if x.names(source) || x.names(l.Link) {
			return true
		}
		source = l.Peer
	}
	for id := range c.RelayIDs {
		for _, want := range x.relayIDs {
			if string(id) == string(want) {
				return true
			}
		}
	}
	return false
}

// names tells whether an address is one of the requestor's. The unspecified address, which stands for an unknown one, never is.
func (x *restrictor) names(a netip.Addr) bool {
	return !a.IsUnspecified() && slices.Contains(x.addresses, a)
}
