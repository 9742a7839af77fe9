package dhcpv6

import "encoding/binary"

// InterfaceID is the value of OPTION_INTERFACE_ID (RFC 8415 21.18): opaque octets of a relay.
type InterfaceID []byte

// AppendBinary appends the whole option; the error is ErrTooLong.
func (i InterfaceID) AppendBinary(dst []byte) ([]byte, error) {
	return AppendOption(dst, OptionInterfaceID, i)
}

// Length is the option's length in octets, header included.
func (i InterfaceID) Length() int { return optionHeaderOctets + len(i) }

// SubscriberID is the value of OPTION_SUBSCRIBER_ID (RFC 4580 2): opaque octets of a relay.
type SubscriberID []byte

// AppendBinary appends the whole option; the error is ErrTooLong.
func (s SubscriberID) AppendBinary(dst []byte) ([]byte, error) {
	return AppendOption(dst, OptionSubscriberID, s)
}

// Length is the option's length in octets, header included.
func (s SubscriberID) Length() int { return optionHeaderOctets + len(s) }

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

// RelayPort is the value of OPTION_RELAY_PORT (RFC 8357 5.2): the UDP port that the next relay down sent from; 0 for none.
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

// VSS is the value of OPTION_VSS (RFC 6607 3.2): which virtual network a query or client belongs to.
type VSS struct {
	Type uint8 // 0 NVT ASCII VPN identifier, 1 RFC 2685 VPN-ID, 255 global, default
	Info []byte
}

// VSSGlobal is the type of the global, default address space.
const VSSGlobal = 255

// ParseVSS reads the option's value.
func ParseVSS(value []byte) (VSS, error) {
	if len(value) < 1 {
		return VSS{}, parseError(OptionVSS, 0, ErrLength)
	}
	return VSS{Type: value[0], Info: value[1:]}, nil
}

// AppendBinary appends the whole option; the error is ErrTooLong.
func (v VSS) AppendBinary(dst []byte) ([]byte, error) {
	if 1+len(v.Info) > maxOptionValue {
		return dst, ErrTooLong
	}
	return append(append(appendOptionHeader(dst, OptionVSS, 1+len(v.Info)), v.Type), v.Info...), nil
}

// Length is the option's length in octets, header included.
func (v VSS) Length() int { return optionHeaderOctets + 1 + len(v.Info) }
