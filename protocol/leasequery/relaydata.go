package leasequery

import (
	"net/netip"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

const (
	optionHeader = 4  // octets of an option's code and length
	relayHeader  = 34 // octets of a relay message in front of its options
	addressSize  = 16
)

// appendRelayData appends OPTION_LQ_RELAY_DATA (RFC 5007 4.1.2.4): where the server received the message from, and the chain as
// it was received, each level's message within the one outside it, without what the innermost carried. Sensitive options are
// left out of every level. A chain that maxTrailer has no room for is left out.
func appendRelayData(dst []byte, c binding.Chain, hidden hiddenOptions) []byte {
	size := addressSize
	for l := range c.Levels {
		if size > addressSize {
			size += optionHeader // of the OPTION_RELAY_MSG around this level
		}
		size += relayHeader + hidden.shownOctets(l.Options)
	}
	if size == addressSize || len(dst)+optionHeader+size > maxTrailer {
		return dst
	}
	dst = appendHeader(dst, dhcpv6.OptionLQRelayData, size)
	dst = appendAddr(dst, peerOf(c))
	size -= addressSize
	for l := range c.Levels {
		dst = append(dst, byte(dhcpv6.MessageRelayForward), l.HopCount)
		dst = appendAddr(appendAddr(dst, l.Link), l.Peer)
		dst = hidden.appendShown(dst, l.Options)
		size -= relayHeader + hidden.shownOctets(l.Options)
		if size > 0 {
			size -= optionHeader
			dst = appendHeader(dst, dhcpv6.OptionRelayMessage, size)
		}
	}
	return dst
}

// peerOf is who sent the outermost message to the server. Where the source does not know, the outermost relay's global
// link-address stands for it, else that of the next relay inward.
func peerOf(c binding.Chain) netip.Addr {
	if a := c.Sender(); !a.IsUnspecified() {
		return a
	}
	for l := range c.Levels {
		if a := l.Link; a.IsGlobalUnicast() {
			return a
		}
	}
	return netip.IPv6Unspecified()
}

// hiddenOptions are the codes of options that are never shown.
type hiddenOptions []dhcpv6.OptionCode

func (h hiddenOptions) has(code uint16) bool {
	for _, c := range h {
		if uint16(c) == code {
			return true
		}
	}
	return false
}

// shownOctets is how long the options are without the hidden ones.
func (h hiddenOptions) shownOctets(options []byte) int {
	if len(h) == 0 {
		return len(options)
	}
	n := 0
	for code, v := range binding.Options(options) {
		if !h.has(code) {
			n += optionHeader + len(v)
		}
	}
	return n
}

// appendShown appends the options without the hidden ones.
func (h hiddenOptions) appendShown(dst, options []byte) []byte {
	if len(h) == 0 {
		return append(dst, options...)
	}
	for code, v := range binding.Options(options) {
		if !h.has(code) {
			dst = append(appendHeader(dst, dhcpv6.OptionCode(code), len(v)), v...)
		}
	}
	return dst
}

func appendHeader(dst []byte, code dhcpv6.OptionCode, n int) []byte {
	return append(dst, byte(code>>8), byte(code), byte(n>>8), byte(n))
}

func appendAddr(dst []byte, a netip.Addr) []byte {
	b := a.As16()
	return append(dst, b[:]...)
}
