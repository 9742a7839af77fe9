package store

import (
	"bytes"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
)

const (
	fan        = 64
	maxDepth   = 12 // of inner nodes above the pages
	innerBytes = 40 + fan*56
)

// inner is a node above pages, or above other inner nodes. For each child it has a lower bound of the child's keys, and the
// child's earliest due and newest change, which are bounds too: nothing is due before, nothing changed after.
type inner struct {
	epoch  uint64
	n      int
	place  [fan]uint64
	due    [fan]binding.Time
	newest [fan]uint64
	rests  []rest // of the lower bounds; nil when the places alone part the children
	kids   [fan]*inner
	pages  [fan]page
}

// rest is what a lower bound has beside its place, where a place runs over several pages.
type rest struct {
	duid  string
	order *order
}

// child is one child of an inner node.
type child struct {
	place  uint64
	rest   rest
	due    binding.Time
	newest uint64
	kid    *inner
	page   page
}

// after tells whether the i-th child's lower bound lies behind k.
func (n *inner) after(i int, k *key) bool {
	if n.place[i] != k.place || n.rests == nil {
		return n.place[i] > k.place
	}
	r := &n.rests[i]
	if c := bytes.Compare([]byte(r.duid), k.duid); c != 0 {
		return c > 0
	}
	switch {
	case r.order == nil:
		return false
	case k.order == nil:
		return true
	}
	return r.order.compare(k.order) > 0
}

// find is the child in whose range k lies.
func (n *inner) find(k *key) int {
	lo, hi := 1, n.n
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if n.after(mid, k) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo - 1
}

// bounds is the earliest due and the newest change below n.
func (n *inner) bounds() (due binding.Time, newest uint64) {
	due = never
	for i := range n.n {
		due, newest = min(due, n.due[i]), max(newest, n.newest[i])
	}
	return due, newest
}

func (n *inner) get(i int) child {
	c := child{place: n.place[i], due: n.due[i], newest: n.newest[i], kid: n.kids[i], page: n.pages[i]}
	if n.rests != nil {
		c.rest = n.rests[i]
	}
	return c
}

func (n *inner) set(i int, c child) {
	n.place[i], n.due[i], n.newest[i], n.kids[i], n.pages[i] = c.place, c.due, c.newest, c.kid, c.page
	n.setRest(i, c.rest)
}

func (n *inner) setRest(i int, r rest) {
	if n.rests == nil {
		if r.duid == "" {
			return
		}
		n.rests = make([]rest, fan)
	}
	n.rests[i] = r
}

// insert puts c before the i-th child; there must be room.
func (n *inner) insert(i int, c child) {
	copy(n.place[i+1:], n.place[i:n.n])
	copy(n.due[i+1:], n.due[i:n.n])
	copy(n.newest[i+1:], n.newest[i:n.n])
	copy(n.kids[i+1:], n.kids[i:n.n])
	copy(n.pages[i+1:], n.pages[i:n.n])
	if n.rests != nil {
		copy(n.rests[i+1:], n.rests[i:n.n])
	}
	n.n++
	n.set(i, c)
}

// remove takes the i-th child out.
func (n *inner) remove(i int) {
	copy(n.place[i:], n.place[i+1:n.n])
	copy(n.due[i:], n.due[i+1:n.n])
	copy(n.newest[i:], n.newest[i+1:n.n])
	copy(n.kids[i:], n.kids[i+1:n.n])
	copy(n.pages[i:], n.pages[i+1:n.n])
	if n.rests != nil {
		copy(n.rests[i:], n.rests[i+1:n.n])
	}
	n.n--
	n.clear(n.n)
}

// clear forgets what the i-th child pointed to.
func (n *inner) clear(i int) {
	n.kids[i], n.pages[i] = nil, nil
	if n.rests != nil {
		n.rests[i] = rest{}
	}
}

// moveTail moves the children from the i-th on to the end of to.
func (n *inner) moveTail(i int, to *inner) {
	for j := i; j < n.n; j++ {
		to.n++
		to.set(to.n-1, n.get(j))
		n.clear(j)
	}
	n.n = i
}

// copyFrom makes n, fresh, the same as old.
func (n *inner) copyFrom(old *inner) {
	epoch := n.epoch
	*n = *old
	n.epoch = epoch
	n.rests = slices.Clone(old.rests)
}
