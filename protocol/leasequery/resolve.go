package leasequery

import (
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// resolve turns a query into what the view can select by. found is false for an answer that is complete and empty.
func resolve(v binding.View, q *query) (sel binding.Query, found bool, r *refusal) {
	var links []binding.LinkID
	if !q.link.IsUnspecified() {
		if links = v.SelectLinks(nil, q.link); len(links) == 0 {
			return sel, false, refuse(dhcpv6.StatusNotConfigured, "no link has the link-address %v", q.link)
		}
	}
	switch q.kind {
	case dhcpv6.QueryByAddress:
		return resolveAddress(v, q, links)
	case dhcpv6.QueryByClientID:
		return binding.Query{By: binding.ByClientID, Value: q.value, Links: links}, true, nil
	case dhcpv6.QueryByRelayID:
		return binding.Query{By: binding.ByRelayID, Value: q.value, Links: links}, true, nil
	case dhcpv6.QueryByRemoteID:
		return binding.Query{By: binding.ByRemoteID, Value: q.value, Links: links}, true, nil
	}
	return binding.Query{By: binding.ByLinkAddress, Links: links}, true, nil
}

// resolveAddress finds the binding of an address: exactly that address, else the longest delegated prefix that contains it.
func resolveAddress(v binding.View, q *query, links []binding.LinkID) (sel binding.Query, found bool, r *refusal) {
	if a := q.address; a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() || a.Is4In6() {
		return sel, false, refuse(dhcpv6.StatusNotConfigured, "%v is not a global unicast address", a)
	}
	key, link, ok := v.FindAddress(q.address)
	if !ok {
		key, link, ok = v.FindDelegated(q.address)
	}
	if !ok {
		if _, known := v.LinkHolding(q.address); len(links) == 0 && !known {
			return sel, false, refuse(dhcpv6.StatusNotConfigured, "no link holds %v", q.address)
		}
		return sel, false, nil
	}
	if len(links) > 0 && !slices.Contains(links, link) {
		return sel, false, nil
	}
	return binding.Query{By: binding.ByAddress, Key: key, Links: []binding.LinkID{link}}, true, nil
}
