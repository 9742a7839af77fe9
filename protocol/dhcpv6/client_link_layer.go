package dhcpv6

import "encoding/binary"

// ClientLinkLayer is the value of OPTION_CLIENT_LINKLAYER_ADDR (RFC 6939 4).
type ClientLinkLayer struct {
	Type    uint16 // hardware type of the client's link layer
	Address []byte
}

// ParseClientLinkLayer reads the option's value.
func ParseClientLinkLayer(value []byte) (ClientLinkLayer, error) {
	if len(value) < 2 {
		return ClientLinkLayer{}, parseError(OptionClientLinkLayer, len(value), ErrLength)
	}
	return ClientLinkLayer{Type: binary.BigEndian.Uint16(value), Address: value[2:]}, nil
}

// AppendBinary appends the whole option; the error is ErrTooLong.
func (c ClientLinkLayer) AppendBinary(dst []byte) ([]byte, error) {
	if 2+len(c.Address) > maxOptionValue {
		return dst, ErrTooLong
	}
	dst = appendOptionHeader(dst, OptionClientLinkLayer, 2+len(c.Address))
	return append(append(dst, byte(c.Type>>8), byte(c.Type)), c.Address...), nil
}

// Length is the option's length in octets, header included.
func (c ClientLinkLayer) Length() int { return optionHeaderOctets + 2 + len(c.Address) }
