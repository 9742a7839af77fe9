package leasequery

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// spare is memory of an answer that it, or the next one that is made in its place, uses again.
type spare struct {
	cursor     binding.Cursor // the walk before this one
	links      []binding.LinkID
	on         []binding.LinkID // the links that a client was found on
	one        [1]binding.LinkID
	restrictor restrictor
	hidden     hiddenOptions
}

// reselecter is a view whose cursors can be used again.
type reselecter interface {
	// Reselect is Select with a cursor that is no longer needed.
	Reselect(old binding.Cursor, q binding.Query) binding.Cursor
}

// walk begins a walk over what is selected; the walk before it is over.
func (a *Answer) walk() binding.Cursor {
	if r, ok := a.view.(reselecter); ok && a.spare.cursor != nil {
		a.spare.cursor = r.Reselect(a.spare.cursor, a.selection)
	} else {
		a.spare.cursor = a.view.Select(a.selection)
	}
	return a.spare.cursor
}

// links is the links that a link-address selects.
func (a *Answer) links(linkAddress netip.Addr) []binding.LinkID {
	a.spare.links = a.view.SelectLinks(a.spare.links[:0], linkAddress)
	return a.spare.links
}

// oneLink is a list of one link, which holds until the next one.
func (a *Answer) oneLink(link binding.LinkID) []binding.LinkID {
	a.spare.one[0] = link
	return a.spare.one[:]
}

// room is the longest message that the answer may have, in octets.
func (a *Answer) room() int { return a.over.room() - a.envelope }

// sortedCodes appends the codes that an option request option lists, each once, in order.
func sortedCodes(dst []dhcpv6.OptionCode, oro []byte) []dhcpv6.OptionCode {
	for ; len(oro) >= 2; oro = oro[2:] {
		dst = append(dst, dhcpv6.OptionCode(binary.BigEndian.Uint16(oro)))
	}
	slices.Sort(dst)
	return slices.Compact(dst)
}
