package dhcpv6

// InterfaceID is the value of OPTION_INTERFACE_ID (RFC 8415 21.18): opaque octets of a relay.
type InterfaceID []byte

// ParseInterfaceID reads the option's value: any octets, none included. It never fails.
func ParseInterfaceID(value []byte) (InterfaceID, error) { return InterfaceID(value), nil }

// AppendBinary appends the whole option; the error is ErrTooLong.
func (i InterfaceID) AppendBinary(dst []byte) ([]byte, error) {
	return AppendOption(dst, OptionInterfaceID, i)
}

// Length is the option's length in octets, header included.
func (i InterfaceID) Length() int { return optionHeaderOctets + len(i) }
