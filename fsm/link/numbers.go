package link

import (
	"math/bits"

	"github.com/leasehold/leasehold/fsm/binding"
)

// maxLink is the highest number that a link may have.
const maxLink = 1 << 26

// numbers is the set of link numbers in use. Which number is next, the lowest free one, depends on the set alone.
type numbers struct {
	used []uint64 // a bit for each number
	full []uint64 // a bit for each word of used that has no free number
	low  int      // all words of full below have no free number
}

// take is the lowest free number, which is in use then.
func (n *numbers) take() binding.LinkID {
	for ; ; n.low++ {
		if n.low == len(n.full) {
			n.full = append(n.full, 0)
		}
		if f := n.full[n.low]; ^f != 0 {
			word := n.low*64 + bits.TrailingZeros64(^f)
			if word == len(n.used) {
				n.used = append(n.used, 0)
			}
			id := binding.LinkID(word*64 + bits.TrailingZeros64(^n.used[word]))
			n.mark(id)
			return id
		}
	}
}

// mark notes that the number is in use.
func (n *numbers) mark(id binding.LinkID) {
	word := int(id) / 64
	for word >= len(n.used) {
		n.used = append(n.used, 0)
	}
	for word/64 >= len(n.full) {
		n.full = append(n.full, 0)
	}
	if n.used[word] |= 1 << (id % 64); ^n.used[word] == 0 {
		n.full[word/64] |= 1 << (word % 64)
	}
}

// release notes that the number is free.
func (n *numbers) release(id binding.LinkID) {
	word := int(id) / 64
	n.used[word] &^= 1 << (id % 64)
	n.full[word/64] &^= 1 << (word % 64)
	n.low = min(n.low, word/64)
}

// tally counts client records by link number.
type tally []*[chunkLinks]uint32

// at is where the link's count is.
func (t *tally) at(id binding.LinkID) *uint32 {
	c := int(id) / chunkLinks
	for c >= len(*t) {
		*t = append(*t, nil)
	}
	if (*t)[c] == nil {
		(*t)[c] = new([chunkLinks]uint32)
	}
	return &(*t)[c][int(id)%chunkLinks]
}
