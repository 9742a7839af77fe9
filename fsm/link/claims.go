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
	contested map[prefixKey][]binding.LinkID // every claimant of a prefix that has several, winner first
	one       [1]binding.LinkID              // room for claimants
}

func newClaims(winners *prefixMap[binding.LinkID]) claims {
	*winners = newPrefixMap[binding.LinkID]()
	return claims{winners: winners, contested: map[prefixKey][]binding.LinkID{}}
}

// claimants is every link that has exactly this prefix, winner first. It is valid until the next change.
func (c *claims) claimants(k prefixKey) []binding.LinkID {
	winner, taken := c.winners.get(k)
	if !taken {
		return nil
	}
	if len(c.contested) > 0 {
		if all := c.contested[k]; len(all) > 0 {
			return all
		}
	}
	c.one[0] = winner
	return c.one[:]
}

// claim records that the link has p, and tells whether it is now p's winner.
func (t *Table) claim(c *claims, p netip.Prefix, id binding.LinkID) bool {
	k := keyOf(p)
	if all := c.claimants(k); len(all) > 0 {
		at, _ := slices.BinarySearchFunc(all, id, t.links.compare)
		c.contested[k] = slices.Insert(slices.Clone(all), at, id)
		if at > 0 {
			return false
		}
	}
	c.winners.set(k, id, t.epoch)
	return true
}

// yield records that the link no longer has p, and tells whether it was p's winner.
func (t *Table) yield(c *claims, p netip.Prefix, id binding.LinkID) bool {
	k := keyOf(p)
	all := c.contested[k]
	if len(all) == 0 {
		c.winners.remove(k, t.epoch)
		return true
	}
	won := all[0] == id
	all = slices.DeleteFunc(all, func(x binding.LinkID) bool { return x == id })
	if c.contested[k] = all; len(all) == 1 {
		delete(c.contested, k)
	}
	if won {
		c.winners.set(k, all[0], t.epoch)
	}
	return won
}
