package dhcpv6

import "net/netip"

// LQRelayData is the value of OPTION_LQ_RELAY_DATA (RFC 5007 4.1.2.4): where the server received the outermost relay message
// from, and that message, without what the innermost relay carried.
type LQRelayData struct {
	Peer    netip.Addr
	Message []byte // a RELAY-FORW message: ParseRelayChain reads it
}

// ParseLQRelayData reads the option's value; the message in it is not looked into.
func ParseLQRelayData(value []byte) (LQRelayData, error) {
	if len(value) < lqRelayDataFixedOctets {
		return LQRelayData{}, parseError(OptionLQRelayData, len(value), ErrLength)
	}
	return LQRelayData{Peer: netip.AddrFrom16([16]byte(value)), Message: value[lqRelayDataFixedOctets:]}, nil
}

// AppendBinary appends the whole option; the error is ErrTooLong.
func (d LQRelayData) AppendBinary(dst []byte) ([]byte, error) {
	n := lqRelayDataFixedOctets + len(d.Message)
	if n > maxOptionValue {
		return dst, ErrTooLong
	}
	return append(appendAddress(appendOptionHeader(dst, OptionLQRelayData, n), d.Peer), d.Message...), nil
}

// Length is the option's length in octets, header included.
func (d LQRelayData) Length() int {
	return optionHeaderOctets + lqRelayDataFixedOctets + len(d.Message)
}
