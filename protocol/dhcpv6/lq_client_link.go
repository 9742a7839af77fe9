package dhcpv6

import (
	"iter"
	"net/netip"
)

// LQClientLink is the value of OPTION_LQ_CLIENT_LINK (RFC 5007 4.1.2.5) as octets: link-addresses, 16 octets each.
type LQClientLink []byte

// ParseLQClientLink reads the option's value: a multiple of 16 octets, at least one address.
func ParseLQClientLink(value []byte) (LQClientLink, error) {
	if len(value) == 0 || len(value)%addressOctets != 0 {
		return nil, parseError(OptionLQClientLink, len(value), ErrLength)
	}
	return LQClientLink(value), nil
}

// NewLQClientLink lists link-addresses, at most 4,095 of them: the rest is left out.
func NewLQClientLink(links ...netip.Addr) LQClientLink {
	var l LQClientLink
	for _, a := range links[:min(len(links), maxOptionValue/addressOctets)] {
		l = appendAddress(l, a)
	}
	return l
}

// Addresses iterates over the link-addresses in order.
func (l LQClientLink) Addresses() iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for i := 0; i+addressOctets <= len(l); i += addressOctets {
			if !yield(netip.AddrFrom16([16]byte(l[i:]))) {
				return
			}
		}
	}
}

// AppendBinary appends the whole option; the error is ErrTooLong.
func (l LQClientLink) AppendBinary(dst []byte) ([]byte, error) {
	return AppendOption(dst, OptionLQClientLink, l)
}

// Length is the option's length in octets, header included.
func (l LQClientLink) Length() int { return optionHeaderOctets + len(l) }
