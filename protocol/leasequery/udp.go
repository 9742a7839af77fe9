package leasequery

import (
	"net/netip"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// oneClient is a cursor over the one client, on one link, that an answer over UDP is about.
type oneClient struct {
	view binding.View
	sel  binding.Query
	done bool
}

// Next fills c with the client, once.
func (o *oneClient) Next(c *binding.Client) bool {
	if o.done {
		return false
	}
	o.done = true
	return o.view.Select(o.sel).Next(c)
}

// prepareUDP settles on the one link that a reply over UDP can tell of (RFC 5007 4.4.2): without link-address a client on
// several links gets OPTION_LQ_CLIENT_LINK instead of data; with a link-address that selects several of them, the link whose
// prefix holds it is meant, else the one with the newest transaction.
func (a *Answer) prepareUDP(q *query) {
	if q.kind != dhcpv6.QueryByClientID {
		return
	}
	var on []binding.LinkID
	var newest binding.LinkID
	var newestTime binding.Time
	for a.cursor.Next(&a.portrait.client) {
		if !a.examine() {
			continue
		}
		link := a.portrait.client.Link
		if len(on) == 0 || a.portrait.newest > newestTime {
			newest, newestTime = link, a.portrait.newest
		}
		on = append(on, link)
	}
	if len(on) > 1 && q.link.IsUnspecified() {
		a.cursor = nil
		for _, link := range on {
			if r := a.view.Representative(link); r.IsValid() && !slices.Contains(a.clientLinks, r) {
				a.clientLinks = append(a.clientLinks, r)
			}
		}
		return
	}
	if len(on) > 1 {
		if link, ok := a.view.LinkHolding(q.link); ok && slices.Contains(on, link) {
			newest = link
		}
	}
	if len(on) == 0 {
		a.cursor = nil
		return
	}
	sel := a.selection
	sel.Links = []binding.LinkID{newest}
	a.cursor = &oneClient{view: a.view, sel: sel}
}

// appendClientLinks appends OPTION_LQ_CLIENT_LINK (RFC 5007 4.1.2.5), if the answer is one.
func appendClientLinks(dst []byte, links []netip.Addr) []byte {
	if len(links) == 0 {
		return dst
	}
	links = links[:min(len(links), maxOption/addressSize)]
	dst = appendHeader(dst, dhcpv6.OptionLQClientLink, len(links)*addressSize)
	for _, l := range links {
		dst = appendAddr(dst, l)
	}
	return dst
}
