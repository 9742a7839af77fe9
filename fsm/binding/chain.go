package binding

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Chain is a relay chain as the server received it, encoded; empty for none. Level 0 is the outermost relay, nearest the
// server; the last level is nearest the client. The encoding:
//
//	peer-address of the outermost message's sender, 16 octets; :: when the source does not know it
//	then for each level, outermost first:
//	  hop-count     1 octet
//	  link-address 16 octets
//	  peer-address 16 octets
//	  length        2 octets, big endian
//	  options       that many octets: the level's options as received, without OPTION_RELAY_MSG
type Chain []byte

// Level is one relay's part of a chain. Its fields are those of a Relay-forward message (RFC 8415 9).
type Level struct {
	HopCount uint8
	Link     netip.Addr // link-address; :: where the relay gave none
	Peer     netip.Addr // peer-address
	Options  []byte     // code, length, value triples in the order received, without OPTION_RELAY_MSG
}

const (
	chainHeader = 16
	levelHeader = 1 + 16 + 16 + 2

	optionRelayMsg = 9  // OPTION_RELAY_MSG
	optionRemoteID = 37 // OPTION_REMOTE_ID (RFC 4649)
	optionRelayID  = 53 // OPTION_RELAY_ID (RFC 5460 5.4.1)
)

// AppendChain appends the encoding of a chain to dst. sender is who sent the outermost message to the server; the zero Addr
// when that is unknown. Levels are outermost first; without levels nothing is appended. Whether the result may be stored, a level
// with more than 65,535 octets of options among other things, is for Validate to tell.
func AppendChain(dst []byte, sender netip.Addr, levels []Level) Chain {
	if len(levels) == 0 {
		return dst
	}
	dst = appendAddr(dst, sender)
	for _, l := range levels {
		dst = append(dst, l.HopCount)
		dst = appendAddr(dst, l.Link)
		dst = appendAddr(dst, l.Peer)
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(l.Options)))
		dst = append(dst, l.Options...)
	}
	return dst
}

func appendAddr(dst []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		a = netip.IPv6Unspecified()
	}
	b := a.As16()
	return append(dst, b[:]...)
}

// Sender is the address that the outermost message came from, or :: when it is unknown or there is no chain.
func (c Chain) Sender() netip.Addr {
	if len(c) < chainHeader {
		return netip.IPv6Unspecified()
	}
	return netip.AddrFrom16([16]byte(c[:16]))
}

// Levels iterates over a valid chain's levels, outermost first, without allocating. It stops at the first malformed level.
func (c Chain) Levels(yield func(Level) bool) {
	if len(c) < chainHeader {
		return
	}
	for rest := c[chainHeader:]; len(rest) >= levelHeader; {
		n := int(binary.BigEndian.Uint16(rest[33:]))
		if len(rest) < levelHeader+n {
			return
		}
		l := Level{
			HopCount: rest[0],
			Link:     netip.AddrFrom16([16]byte(rest[1:17])),
			Peer:     netip.AddrFrom16([16]byte(rest[17:33])),
			Options:  rest[levelHeader : levelHeader+n],
		}
		if !yield(l) {
			return
		}
		rest = rest[levelHeader+n:]
	}
}

// Validate tells why c may not be stored: an error that wraps ErrInvalid and names the level, or nil.
func (c Chain) Validate() error {
	if len(c) == 0 {
		return nil
	}
	if len(c) > MaxChain {
		return fmt.Errorf("%w: relay chain of %d octets, want at most %d", ErrInvalid, len(c), MaxChain)
	}
	n, used := 0, chainHeader
	for l := range c.Levels {
		if err := validateOptions(l.Options); err != nil {
			return fmt.Errorf("relay chain level %d: %w", n, err)
		}
		for code := range Options(l.Options) {
			if code == optionRelayMsg {
				return fmt.Errorf("%w: relay chain level %d holds OPTION_RELAY_MSG", ErrInvalid, n)
			}
		}
		n++
		used += levelHeader + len(l.Options)
	}
	switch {
	case used != len(c):
		return fmt.Errorf("%w: relay chain broken off at level %d", ErrInvalid, n)
	case n == 0:
		return fmt.Errorf("%w: relay chain without levels", ErrInvalid)
	case n > MaxHops:
		return fmt.Errorf("%w: relay chain of %d levels, want at most %d", ErrInvalid, n, MaxHops)
	}
	return nil
}

// LinkAddress is the chain's global or unique local link-address closest to the client (RFC 8415 13.1); ok is false when no
// relay gave one.
func (c Chain) LinkAddress() (a netip.Addr, ok bool) {
	for l := range c.Levels {
		if isGlobal(l.Link) {
			a, ok = l.Link, true
		}
	}
	return a, ok
}

// isGlobal tells whether a is an IPv6 unicast address of global or unique local scope.
func isGlobal(a netip.Addr) bool {
	return a.Is6() && !a.Is4In6() && a.Zone() == "" && !a.IsUnspecified() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsMulticast()
}

// RelayIDs iterates over the relay-ids (OPTION_RELAY_ID values: DUIDs) of every level.
func (c Chain) RelayIDs(yield func([]byte) bool) { c.values(optionRelayID, yield) }

// RemoteIDs iterates over the remote-ids (OPTION_REMOTE_ID values: enterprise number and remote-id as one octet string) of
// every level.
func (c Chain) RemoteIDs(yield func([]byte) bool) { c.values(optionRemoteID, yield) }

func (c Chain) values(code uint16, yield func([]byte) bool) {
	for l := range c.Levels {
		for k, v := range Options(l.Options) {
			if k == code && len(v) > 0 && !yield(v) {
				return
			}
		}
	}
}

// HasRelayID tells whether any level of the chain has this relay-id.
func (c Chain) HasRelayID(id []byte) bool { return c.has(optionRelayID, id) }

// HasRemoteID tells whether any level of the chain has this remote-id, enterprise number included (RFC 4649 5).
func (c Chain) HasRemoteID(id []byte) bool { return c.has(optionRemoteID, id) }

func (c Chain) has(code uint16, want []byte) bool {
	found := false
	c.values(code, func(v []byte) bool {
		found = string(v) == string(want)
		return !found
	})
	return found
}
