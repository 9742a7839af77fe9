package link

import (
	"net/netip"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
)

// claims tells which link has a prefix. Where several have it, the one with the lowest canonical prefix set wins; the map of
// winners alone is what readers see.
type claims struct {
	winners   *prefixMap[binding.LinkID]
	contested map[netip.Prefix][]binding.LinkID // every claimant of a prefix that has several, winner first
}

func newClaims(winners *prefixMap[binding.LinkID]) claims {
	*winners = newPrefixMap[binding.LinkID]()
	return claims{winners: winners, contested: map[netip.Prefix][]binding.LinkID{}}
}

// claim records that the link has p, and tells whether it is now p's winner.
func (t *Table) claim(c *claims, p netip.Prefix, id binding.LinkID) bool {
	if winner, taken := c.winners.get(keyOf(p)); taken {
		all := c.contested[p]
		if len(all) == 0 {
			all = []binding.LinkID{winner}
		}
		at, _ := slices.BinarySearchFunc(all, id, t.links.compare)
		c.contested[p] = slices.Insert(all, at, id)
		if at > 0 {
			return false
		}
	}
	c.winners.set(keyOf(p), id, t.epoch)
	return true
}

// yield records that the link no longer has p, and tells whether it was p's winner.
func (t *Table) yield(c *claims, p netip.Prefix, id binding.LinkID) bool {
	all := c.contested[p]
	if len(all) == 0 {
		c.winners.remove(keyOf(p), t.epoch)
		return true
	}
	won := all[0] == id
	all = slices.DeleteFunc(all, func(x binding.LinkID) bool { return x == id })
	if c.contested[p] = all; len(all) == 1 {
		delete(c.contested, p)
	}
	if won {
		c.winners.set(keyOf(p), all[0], t.epoch)
	}
	return won
}
