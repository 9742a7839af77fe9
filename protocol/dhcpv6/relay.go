package dhcpv6

import "net/netip"

// hopCountLimit is how many relays' levels of one message are read. HOP_COUNT_LIMIT is 8 (RFC 8415 7.6); older relays used 32.
const hopCountLimit = 32

// RelayMessage is a relay agent/server message (RFC 8415 9):
//
//	+---------------+---------------+
//	|    msg-type   |   hop-count   |   link-address, 16 octets
//	+---------------+---------------+   peer-address, 16 octets
//	|                           options
type RelayMessage struct {
	Type        MessageType // MessageRelayForward or MessageRelayReply
	HopCount    uint8
	LinkAddress netip.Addr
	PeerAddress netip.Addr
	Options     Options // aliases what was parsed
}

// ParseRelayMessage reads one level of a relayed message and checks the framing of its options. The error is a *ParseError.
func ParseRelayMessage(b []byte) (RelayMessage, error) { return parseLevel(b, 0) }

// parseLevel is ParseRelayMessage for octets that begin at base: errors count from there.
func parseLevel(b []byte, base int) (RelayMessage, error) {
	if len(b) < relayHeaderOctets {
		return RelayMessage{}, parseError(optionNone, base+len(b), ErrTruncated)
	}
	m := RelayMessage{
		Type: MessageType(b[0]), HopCount: b[1], LinkAddress: netip.AddrFrom16([16]byte(b[2:18])),
		PeerAddress: netip.AddrFrom16([16]byte(b[18:34])), Options: Options(b[relayHeaderOctets:]),
	}
	if !isRelay(b) {
		return RelayMessage{}, parseError(optionNone, base, ErrValue)
	}
	if err := m.Options.validate(base + relayHeaderOctets); err != nil {
		return RelayMessage{}, err
	}
	return m, nil
}

// isRelay tells whether a message is RELAY-FORW or RELAY-REPL.
func isRelay(b []byte) bool {
	return len(b) > 0 && (MessageType(b[0]) == MessageRelayForward || MessageType(b[0]) == MessageRelayReply)
}

// Inner is the message that this level carries: the value of its first OPTION_RELAY_MSG.
func (m RelayMessage) Inner() (b []byte, ok bool) { return m.Options.First(OptionRelayMessage) }

// AppendBinary appends the message. It never fails.
func (m RelayMessage) AppendBinary(dst []byte) ([]byte, error) {
	return append(AppendRelayHeader(dst, m.Type, m.HopCount, m.LinkAddress, m.PeerAddress), m.Options...), nil
}

// Length is the message's length in octets.
func (m RelayMessage) Length() int { return relayHeaderOctets + len(m.Options) }

// AppendRelayHeader appends the header of a relay message whose options the caller appends next.
func AppendRelayHeader(dst []byte, t MessageType, hops uint8, link, peer netip.Addr) []byte {
	return appendAddress(appendAddress(append(dst, byte(t), hops), link), peer)
}

// ParseRelayChain takes a relayed message apart: its levels, outermost first, and the octets of the innermost message, which
// are nil where the innermost level carries none. More than 32 levels are ErrTooDeep. Offsets in errors count from the start
// of b.
func ParseRelayChain(b []byte) (levels []RelayMessage, inner []byte, err error) {
	base := 0
	for len(levels) < hopCountLimit {
		level, err := parseLevel(b[base:], base)
		if err != nil {
			return nil, nil, err
		}
		levels = append(levels, level)
		start, end := level.Options.locate(OptionRelayMessage)
		if start == 0 {
			return levels, nil, nil
		}
		if inner = level.Options[start:end:end]; !isRelay(inner) {
			return levels, inner, nil
		}
		base += relayHeaderOctets + start
		b = b[: base+len(inner) : base+len(inner)]
	}
	return nil, nil, parseError(OptionRelayMessage, base, ErrTooDeep)
}

// appendAddress appends 16 octets: :: for the zero Addr, ::ffff:a.b.c.d for an IPv4 address; a zone is left out.
func appendAddress(dst []byte, a netip.Addr) []byte {
	b := a.As16() // of the zero Addr: zeros
	return append(dst, b[:]...)
}
