package dhcpv6

import "encoding/binary"

// RelayPort is the value of OPTION_RELAY_PORT (RFC 8357 4.2): the UDP port that the next relay down sent from; 0 for none.
type RelayPort uint16

// ParseRelayPort reads the option's value: 2 octets.
func ParseRelayPort(value []byte) (RelayPort, error) {
	if len(value) != 2 {
		return 0, parseError(OptionRelaySourcePort, min(len(value), 2), ErrLength)
	}
	return RelayPort(binary.BigEndian.Uint16(value)), nil
}

// AppendBinary appends the whole option. It never fails.
func (p RelayPort) AppendBinary(dst []byte) ([]byte, error) {
	return append(appendOptionHeader(dst, OptionRelaySourcePort, 2), byte(p>>8), byte(p)), nil
}

// Length is the option's length in octets, header included.
func (p RelayPort) Length() int { return optionHeaderOctets + 2 }
