package dhcpv6

import (
	"encoding/binary"
	"net/netip"
)

// IAAddress is the value of OPTION_IAADDR (RFC 8415 21.6):
//
//	IPv6-address, 16 octets; preferred-lifetime, 4; valid-lifetime, 4; options
type IAAddress struct {
	Address   netip.Addr
	Preferred uint32 // seconds; 0xffffffff is infinite
	Valid     uint32 // seconds; 0xffffffff is infinite
	Options   Options
}

// ParseIAAddress reads the option's value. The error is a *ParseError with offsets from the start of the value.
func ParseIAAddress(value []byte) (IAAddress, error) {
	if len(value) < iaAddressFixedOctets {
		return IAAddress{}, parseError(OptionIAAddr, len(value), ErrLength)
	}
	a := IAAddress{
		Address: netip.AddrFrom16([16]byte(value)), Preferred: binary.BigEndian.Uint32(value[16:]),
		Valid: binary.BigEndian.Uint32(value[20:]), Options: Options(value[iaAddressFixedOctets:]),
	}
	if err := a.Options.validate(iaAddressFixedOctets); err != nil {
		return IAAddress{}, err
	}
	return a, nil
}

// AppendBinary appends the whole option; the error is ErrTooLong.
func (a IAAddress) AppendBinary(dst []byte) ([]byte, error) {
	n := iaAddressFixedOctets + len(a.Options)
	if n > maxOptionValue {
		return dst, ErrTooLong
	}
	dst = appendAddress(appendOptionHeader(dst, OptionIAAddr, n), a.Address)
	dst = binary.BigEndian.AppendUint32(dst, a.Preferred)
	dst = binary.BigEndian.AppendUint32(dst, a.Valid)
	return append(dst, a.Options...), nil
}

// Length is the option's length in octets, header included.
func (a IAAddress) Length() int { return optionHeaderOctets + iaAddressFixedOctets + len(a.Options) }
