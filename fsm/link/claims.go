package link

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"github.com/leasehold/leasehold/fsm/binding"
)

// claims tells which link has a prefix. Where several have it, the one with the lowest canonical prefix set wins; the trie holds
// the winners alone. Tries are never changed in place: a snapshot keeps the one that it saw.
type claims struct {
	in        **bart.Table[binding.LinkID]      // where the trie of winners is
	contested map[netip.Prefix][]binding.LinkID // every claimant of a prefix that has several, winner first
}

func newClaims(in **bart.Table[binding.LinkID]) claims {
	*in = new(bart.Table[binding.LinkID])
	return claims{in: in, contested: map[netip.Prefix][]binding.LinkID{}}
}

func (c *claims) trie() *bart.Table[binding.LinkID] { return *c.in }

// claim records that the link has p, and tells whether it is now p's winner.
func (t *Table) claim(c *claims, p netip.Prefix, id binding.LinkID) bool {
	winner, taken := c.trie().Get(p)
	if taken {
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
	*c.in = c.trie().InsertPersist(p, id)
	return true
}

// yield records that the link no longer has p, and tells whether it was p's winner.
func (t *Table) yield(c *claims, p netip.Prefix, id binding.LinkID) bool {
	winner, _ := c.trie().Get(p)
	all := c.contested[p]
	if len(all) == 0 {
		*c.in = c.trie().DeletePersist(p)
		return true
	}
	all = slices.DeleteFunc(all, func(x binding.LinkID) bool { return x == id })
	next := all[0]
	if len(all) > 1 {
		c.contested[p] = all
	} else {
		delete(c.contested, p)
	}
	if winner != id {
		return false
	}
	*c.in = c.trie().InsertPersist(p, next)
	return true
}
