package link

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/gaissmai/bart"

	"github.com/leasehold/leasehold/fsm/binding"
)

// holders finds links by longest match of their prefixes. The table is persistent: a change makes a new one that shares what
// did not change, so that readers may keep the old.
type holders struct {
	table  *bart.Table[holder]       // prefix to the link that has it
	shared map[netip.Prefix][]holder // only prefixes that several links have: all of these
	owned  bool                      // whether nobody else has seen the table: it may be changed in place
}

// holder is a link that has a prefix.
type holder struct {
	id       binding.LinkID
	identity string
}

func newHolders() holders {
	return holders{table: &bart.Table[holder]{}, shared: map[netip.Prefix][]holder{}}
}

// add makes the link's prefixes lead to it. Where several links have one prefix, the lowest canonical set of prefixes wins.
func (h *holders) add(id binding.LinkID, i *info) {
	for _, p := range i.prefixes {
		other, taken := h.table.Get(p)
		if !taken {
			h.insert(p, holder{id, i.identity})
			continue
		}
		if len(h.shared[p]) == 0 {
			h.shared[p] = []holder{other}
		}
		h.shared[p] = append(h.shared[p], holder{id, i.identity})
		h.elect(p)
	}
}

// remove undoes add.
func (h *holders) remove(id binding.LinkID, i *info) {
	for _, p := range i.prefixes {
		if len(h.shared[p]) == 0 {
			h.table = h.table.DeletePersist(p)
			continue
		}
		h.shared[p] = slices.DeleteFunc(h.shared[p], func(o holder) bool { return o.id == id })
		h.elect(p)
		if len(h.shared[p]) == 1 {
			delete(h.shared, p)
		}
	}
}

// elect chooses among the links that share a prefix.
func (h *holders) elect(p netip.Prefix) {
	h.insert(p, slices.MinFunc(h.shared[p], func(a, b holder) int { return strings.Compare(a.identity, b.identity) }))
}

func (h *holders) insert(p netip.Prefix, x holder) {
	if h.owned {
		h.table.Insert(p, x)
		return
	}
	h.table = h.table.InsertPersist(p, x)
}
