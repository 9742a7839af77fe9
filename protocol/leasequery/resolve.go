package leasequery

import (
	"net/netip"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// resolve turns the query into a walk over the view. Without a refusal and without a cursor the answer is complete and empty.
func (a *Answer) resolve(q *query) *refusal {
	var links []binding.LinkID
	if !q.link.IsUnspecified() {
		if links = a.links(q.link); len(links) == 0 {
			return refuse(dhcpv6.StatusNotConfigured, "no link has the link-address %v", q.link)
		}
	}
	if q.kind == dhcpv6.QueryByAddress && a.span != nil {
		return a.resolveChanged(q.address, links)
	}
	if q.kind == dhcpv6.QueryByAddress {
		return a.resolveAddress(q.address, links)
	}
	a.selection = binding.Query{By: binding.By(q.kind), Value: q.value, Links: links, Ended: a.span != nil}
	a.cursor = a.walk()
	return nil
}

// resolveAddress finds the binding of an address: exactly that address, else the longest delegated prefix that contains it. A
// binding that has run out, and only awaits its removal, does not stand in the way. One that the requestor may not see is as if
// nobody had the address.
func (a *Answer) resolveAddress(address netip.Addr, links []binding.LinkID) *refusal {
	if !isUnicast(address) {
		return refuse(dhcpv6.StatusNotConfigured, "%v is not a global unicast address", address)
	}
	for _, find := range []func(netip.Addr) (binding.Key, binding.LinkID, bool){a.view.FindAddress, a.view.FindDelegated} {
		key, link, ok := find(address)
		if !ok {
			continue
		}
		a.selection = binding.Query{By: binding.ByAddress, Key: key, Links: a.oneLink(link)}
		shown, inForce := a.peek()
		if shown && (len(links) == 0 || slices.Contains(links, link)) {
			a.cursor = a.walk()
		}
		if shown {
			return nil
		}
		if inForce {
			break
		}
	}
	if _, known := a.view.LinkHolding(address); len(links) == 0 && !known {
		return refuse(dhcpv6.StatusNotConfigured, "no link holds %v", address)
	}
	return nil
}

// isUnicast tells whether an address may be one that a client has a binding of.
func isUnicast(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && !a.IsLinkLocalUnicast() && !a.Is4In6()
}

// peek tells whether the one binding that is selected is in force, and whether the requestor may see it.
func (a *Answer) peek() (shown, inForce bool) {
	if !a.walk().Next(&a.portrait.client) {
		return false, false
	}
	if a.examine() {
		return true, true
	}
	for i := range a.portrait.client.Entries {
		if e := &a.portrait.client.Entries[i]; a.matches(e) && a.inForce(e) {
			return false, true
		}
	}
	return false, false
}
