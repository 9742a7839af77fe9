package fsm

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/leasehold/leasehold/fsm/binding"
)

// Change is a change on its way into the log. Its time is an age: Apply makes it a LastTransaction, so that the clock of the
// source does not matter.
type Change struct {
	binding.Change
	AgeMS int64 // milliseconds from LastTransaction to the moment the entry is proposed; LastTransaction itself is not read
}

// The payload of a changes entry is a session, the number of changes, a varint, and the changes. One change:
//
//	 0 event      3 bits, kind 2 bits above, reason 3 bits above
//	of an upsert or an end:
//	 1 same       1: the DUID, 2: the link name, 4: the chain, 8: the options are those of the upsert or end before it, and left out
//	   age        varint, zigzag, milliseconds
//	   length     1, of the prefix; then as many octets of its address as it has significant ones
//	   iaid       4
//	   duid       1 of length, then the octets
//	of an upsert, then:
//	   preferred  4
//	   valid      4
//	   stamp      4
//	   link name  1 of length, then the octets
//	   chain      varint of length, then the octets
//	   options    varint of length, then the octets
//	of a link's definition, or of its removal, which ends behind the label:
//	   label      text: varint of length, then the octets
//	   names      varint of how many, then texts
//	   prefixes   varint of how many, then each as above
//	   relays     varint of how many, then 16 octets each
const (
	sameDUID = 1 << iota
	sameName
	sameChain
	sameOptions

	allSame = sameDUID | sameName | sameChain | sameOptions
)

// AppendChanges appends an entry with changes of one source, 1 to MaxChanges. The error wraps binding.ErrInvalid and names the
// change; dst is as it was then.
func AppendChanges(dst []byte, s Session, changes []Change) ([]byte, error) {
	from := len(dst)
	out, err := appendSessionEntry(dst, TypeChanges, s)
	if err != nil {
		return dst, err
	}
	if len(changes) == 0 || len(changes) > MaxChanges {
		return dst, fmt.Errorf("changes entry: %w: %d changes, want 1 to %d", binding.ErrInvalid, len(changes), MaxChanges)
	}
	out = binary.AppendUvarint(out, uint64(len(changes)))
	var before repeated
	for i := range changes {
		c := &changes[i]
		if err := c.Validate(); err != nil {
			return dst, fmt.Errorf("changes entry: change %d of %d: %w", i, len(changes), err)
		}
		out = appendChange(out, c, &before)
	}
	if len(out)-from > MaxEntry {
		return dst, fmt.Errorf("changes entry: %w: %d octets, want at most %d", binding.ErrInvalid, len(out)-from, MaxEntry)
	}
	return out, nil
}

// repeated is what a change may share with the one before it.
type repeated struct {
	duid, name, chain, options []byte
}

func appendChange(dst []byte, c *Change, before *repeated) []byte {
	b := &c.Binding
	switch c.Event {
	case binding.DefineLink:
		return appendLink(append(dst, byte(c.Event)), c.Link)
	case binding.RemoveLink:
		return appendText(append(dst, byte(c.Event)), c.Link.Label)
	}
	head := byte(c.Event) | byte(b.Kind)<<3
	same := byte(0)
	if string(b.DUID) == string(before.duid) {
		same |= sameDUID
	}
	if c.Event == binding.End {
		head |= byte(c.Reason) << 5
	} else {
		if string(b.LinkName) == string(before.name) {
			same |= sameName
		}
		if string(b.Chain) == string(before.chain) {
			same |= sameChain
		}
		if string(b.Options) == string(before.options) {
			same |= sameOptions
		}
	}
	dst = binary.AppendVarint(append(dst, head, same), c.AgeMS)
	dst = binary.BigEndian.AppendUint32(appendPrefix(dst, b.Prefix), b.IAID)
	if same&sameDUID == 0 {
		dst = append(append(dst, byte(len(b.DUID))), b.DUID...)
		before.duid = b.DUID
	}
	if c.Event == binding.End {
		return dst
	}
	dst = binary.BigEndian.AppendUint32(dst, b.Preferred)
	dst = binary.BigEndian.AppendUint32(dst, b.Valid)
	dst = binary.BigEndian.AppendUint32(dst, b.Stamp)
	if same&sameName == 0 {
		dst = append(append(dst, byte(len(b.LinkName))), b.LinkName...)
		before.name = b.LinkName
	}
	if same&sameChain == 0 {
		dst = appendText(dst, b.Chain)
		before.chain = b.Chain
	}
	if same&sameOptions == 0 {
		dst = appendText(dst, b.Options)
		before.options = b.Options
	}
	return dst
}

func appendLink(dst []byte, l *binding.Link) []byte {
	dst = binary.AppendUvarint(appendText(dst, l.Label), uint64(len(l.Names)))
	for _, n := range l.Names {
		dst = appendText(dst, n)
	}
	dst = binary.AppendUvarint(dst, uint64(len(l.Prefixes)))
	for _, p := range l.Prefixes {
		dst = appendPrefix(dst, p)
	}
	dst = binary.AppendUvarint(dst, uint64(len(l.Relays)))
	for _, a := range l.Relays {
		b := a.As16()
		dst = append(dst, b[:]...)
	}
	return dst
}

// changes reads what follows the session, into dst, whose room is used again. The changes' octets alias the payload. Their
// LastTransaction is the clock minus their age; news of the future is news of now, so that a source cannot, by a wrong age,
// outrank all others for ever.
func (c *cursor) changes(dst []binding.Change, clock binding.Time) ([]binding.Change, error) {
	dst = dst[:0]
	n := int(min(c.uvarint("number of changes"), MaxChanges+1))
	if n == 0 || n > MaxChanges {
		c.fail("number of changes")
		return dst, c.err()
	}
	var before repeated
	for i := range n {
		dst = append(dst, binding.Change{})
		ch := &dst[i]
		if c.change(ch, clock, &before); c.failed != "" {
			return dst, fmt.Errorf("change %d of %d: %w", i, n, c.err())
		}
		if err := ch.Validate(); err != nil {
			return dst, fmt.Errorf("change %d of %d: %w: %w", i, n, ErrCorrupt, err)
		}
	}
	if err := c.err(); err != nil {
		return dst, fmt.Errorf("behind %d changes: %w", n, err)
	}
	return dst, nil
}

func (c *cursor) change(ch *binding.Change, clock binding.Time, before *repeated) {
	head := c.octet("event")
	ch.Event = binding.Event(head & 7)
	ch.Reason = binding.State(head >> 5)
	switch {
	case ch.Event != binding.End && ch.Reason != 0 || ch.Event > binding.End && head>>3 != 0:
		c.fail("event")
		return
	case ch.Event == binding.DefineLink:
		ch.Link = c.link()
		return
	case ch.Event == binding.RemoveLink:
		ch.Link = &binding.Link{Label: string(c.octets(binding.MaxLinkName, "link label"))}
		return
	}
	b := &ch.Binding
	b.Kind = binding.Kind(head >> 3 & 3)
	same := c.octet("repetitions")
	if same > allSame || ch.Event == binding.End && same > sameDUID {
		c.fail("repetitions")
	}
	b.LastTransaction = ago(clock, c.varint("age"))
	b.Prefix = c.prefix("prefix")
	if fixed := c.take(4, "iaid"); fixed != nil {
		b.IAID = binary.BigEndian.Uint32(fixed)
	}
	if same&sameDUID == 0 {
		before.duid = c.take(int(c.octet("duid")), "duid")
	}
	b.DUID = before.duid
	if ch.Event == binding.End {
		return
	}
	if fixed := c.take(12, "lifetimes"); fixed != nil {
		b.Preferred = binary.BigEndian.Uint32(fixed)
		b.Valid = binary.BigEndian.Uint32(fixed[4:])
		b.Stamp = binary.BigEndian.Uint32(fixed[8:])
	}
	if same&sameName == 0 {
		before.name = c.take(int(c.octet("link name")), "link name")
	}
	if same&sameChain == 0 {
		before.chain = c.octets(binding.MaxChain, "relay chain")
	}
	if same&sameOptions == 0 {
		before.options = c.octets(binding.MaxOptions, "client options")
	}
	b.LinkName, b.Chain, b.Options = before.name, before.chain, before.options
}

// ago is the time that lay age milliseconds before the clock, between 0 and the clock.
func ago(clock binding.Time, age int64) binding.Time {
	if age < 0 {
		return clock
	}
	return max(clock-binding.Time(min(age, int64(clock))), 0)
}

func (c *cursor) link() *binding.Link {
	l := &binding.Link{Label: string(c.octets(binding.MaxLinkName, "link label"))}
	for range c.count(binding.MaxLinkNames, "link names") {
		l.Names = append(l.Names, string(c.octets(binding.MaxLinkName, "link name")))
	}
	for range c.count(binding.MaxLinkPrefixes, "link prefixes") {
		l.Prefixes = append(l.Prefixes, c.prefix("link prefix"))
	}
	for range c.count(binding.MaxLinkRelays, "relay addresses") {
		if b := c.take(16, "relay address"); b != nil {
			l.Relays = append(l.Relays, netip.AddrFrom16([16]byte(b)))
		}
	}
	return l
}
