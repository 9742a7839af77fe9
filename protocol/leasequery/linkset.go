package leasequery

import (
	"net/netip"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
)

// maxLinks is how many links that no link-address selects any more are remembered for the ends on them.
const maxLinks = 1024

// placeOnLinks settles what of a client on the link is told of. Of one on a link that is not selected it is only ends: if the link
// was selected until a moment ago, any, else those of bindings for whose relay's sake it was selected.
func (s *Subscription) placeOnLinks(id binding.LinkID) {
	a := &s.answer
	a.leaving, a.formerly = s.linkAddress.IsValid() && !isLink(s.links, id), netip.Addr{}
	if a.leaving && !isLink(s.left, id) {
		a.formerly = s.linkAddress
	}
}

// isLink tells whether a link is in a sorted list.
func isLink(list []binding.LinkID, id binding.LinkID) bool {
	_, found := slices.BinarySearch(list, id)
	return found
}

// linksDiffer asks which links the link-address selects now, if any link has changed since. It is true when that takes in, or leaves
// out, clients that have not changed by it: nothing else will tell of them. Of a link that was selected for the sake of its last
// binding the end of that is still to be told.
func (s *Subscription) linksDiffer() bool {
	if !s.linkAddress.IsValid() || s.linksAsked == s.view.LinksChanged() {
		return false
	}
	s.linksAsked = s.view.LinksChanged()
	s.asked = s.view.SelectLinks(s.asked[:0], s.linkAddress)
	if slices.Equal(s.asked, s.links) {
		return false
	}
	differ := false
	for _, id := range s.asked {
		differ = differ || !isLink(s.links, id) && s.holdsOld(id)
	}
	for _, id := range s.links {
		if !isLink(s.asked, id) {
			differ = differ || s.holdsAny(id)
			s.left = append(s.left, id)
		}
	}
	s.links, s.asked = s.asked, s.links
	s.level = 0 // nothing was told of clients on a link that is new
	slices.Sort(s.left)
	s.left = slices.DeleteFunc(slices.Compact(s.left), func(id binding.LinkID) bool { return isLink(s.links, id) })
	if len(s.left) > maxLinks {
		differ = true
	}
	if differ {
		s.left = s.left[:0]
	}
	return differ
}

// holdsAny tells whether a client has a binding in force on the link.
func (s *Subscription) holdsAny(id binding.LinkID) bool {
	var c binding.Client
	return s.view.Select(binding.Query{By: binding.ByLinkAddress, Links: []binding.LinkID{id}}).Next(&c)
}

// oldClients is how many clients of a link that was not selected before are looked at, at most.
const oldClients = 64

// holdsOld tells whether a client on the link may have something that was changed at or before the position and not since: the
// subscription would not come to it.
func (s *Subscription) holdsOld(id binding.LinkID) bool {
	var c binding.Client
	cursor := s.view.Select(binding.Query{By: binding.ByLinkAddress, Links: []binding.LinkID{id}})
	for range oldClients {
		if !cursor.Next(&c) {
			return false
		}
		newest := uint64(0)
		for i := range c.Entries {
			newest = max(newest, c.Entries[i].Change)
		}
		if newest <= s.position {
			return true
		}
	}
	return true
}
