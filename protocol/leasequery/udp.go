package leasequery

import (
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// settleLink settles on the one link that a reply over UDP can tell of (RFC 5007 4.4.1): without link-address a client on several
// links gets OPTION_LQ_CLIENT_LINK instead of data; with a link-address that selects several of them, the link whose prefix
// holds it is meant, else the one with the newest transaction. An address is bound on one link anyway.
func (a *Answer) settleLink(q *query) {
	if q.kind != dhcpv6.QueryByClientID {
		return
	}
	on := a.spare.on[:0]
	var meant binding.LinkID
	var newest binding.Time
	for a.cursor.Next(&a.portrait.client) {
		if !a.examine() {
			continue
		}
		link := a.portrait.client.Link
		if len(on) == 0 || a.portrait.newest > newest {
			meant, newest = link, a.portrait.newest
		}
		on = append(on, link)
	}
	a.cursor, a.spare.on = nil, on
	switch {
	case len(on) == 0:
		return
	case len(on) > 1 && q.link.IsUnspecified():
		a.listLinks(on)
		return
	case len(on) > 1:
		if link, ok := a.view.LinkHolding(q.link); ok && slices.Contains(on, link) {
			meant = link
		}
	}
	a.selection.Links = a.oneLink(meant)
	a.cursor = a.walk()
}

// listLinks makes the answer a list of links, each by the address that selects it when it is asked for (RFC 5007 4.1.2.5).
func (a *Answer) listLinks(on []binding.LinkID) {
	for _, link := range on {
		if r := a.view.Representative(link); r.IsValid() {
			a.clientLinks = append(a.clientLinks, r)
		}
	}
}
