package dhcpv6

import (
	"encoding/binary"
	"net/netip"
)

// IAPrefix is the value of OPTION_IAPREFIX (RFC 8415 21.22):
//
//	preferred-lifetime, 4 octets; valid-lifetime, 4; prefix-length, 1; IPv6-prefix, 16; options
type IAPrefix struct {
	Preferred uint32 // seconds; 0xffffffff is infinite
	Valid     uint32 // seconds; 0xffffffff is infinite
	Prefix    netip.Prefix
	Options   Options
}

// ParseIAPrefix reads the option's value. Bits behind the prefix's length are kept. The error is a *ParseError with offsets from
// the start of the value.
func ParseIAPrefix(value []byte) (IAPrefix, error) {
	if len(value) < iaPrefixFixedOctets {
		return IAPrefix{}, parseError(OptionIAPrefix, len(value), ErrLength)
	}
	if value[8] > 128 {
		return IAPrefix{}, parseError(OptionIAPrefix, 8, ErrValue)
	}
	p := IAPrefix{
		Preferred: binary.BigEndian.Uint32(value), Valid: binary.BigEndian.Uint32(value[4:]),
		Prefix:  netip.PrefixFrom(netip.AddrFrom16([16]byte(value[9:25])), int(value[8])),
		Options: Options(value[iaPrefixFixedOctets:]),
	}
	if err := p.Options.validate(iaPrefixFixedOctets); err != nil {
		return IAPrefix{}, err
	}
	return p, nil
}

// AppendBinary appends the whole option; the error is ErrTooLong, or ErrValue where the prefix is not an IPv6 prefix.
func (p IAPrefix) AppendBinary(dst []byte) ([]byte, error) {
	n := iaPrefixFixedOctets + len(p.Options)
	switch {
	case n > maxOptionValue:
		return dst, ErrTooLong
	case !p.Prefix.IsValid() || !p.Prefix.Addr().Is6():
		return dst, ErrValue
	}
	dst = appendOptionHeader(dst, OptionIAPrefix, n)
	dst = binary.BigEndian.AppendUint32(dst, p.Preferred)
	dst = binary.BigEndian.AppendUint32(dst, p.Valid)
	dst = appendAddress(append(dst, byte(p.Prefix.Bits())), p.Prefix.Addr())
	return append(dst, p.Options...), nil
}

// Length is the option's length in octets, header included.
func (p IAPrefix) Length() int { return optionHeaderOctets + iaPrefixFixedOctets + len(p.Options) }
