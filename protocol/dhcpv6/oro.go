package dhcpv6

import (
	"encoding/binary"
	"iter"
)

// ORO is the value of OPTION_ORO (RFC 8415 21.7) as octets: option codes, two octets each.
type ORO []byte

// ParseORO reads the value of OPTION_ORO: an even number of octets.
func ParseORO(value []byte) (ORO, error) { return parseCodes[ORO](OptionORO, value) }

func parseCodes[T ~[]byte](code OptionCode, value []byte) (T, error) {
	if len(value)%2 != 0 {
		return nil, parseError(code, len(value)-1, ErrLength)
	}
	return T(value), nil
}

// NewORO lists option codes.
func NewORO(codes ...OptionCode) ORO {
	var o ORO
	for _, c := range codes {
		o = binary.BigEndian.AppendUint16(o, uint16(c))
	}
	return o
}

// Codes iterates over the option codes in order.
func (o ORO) Codes() iter.Seq[OptionCode] {
	return func(yield func(OptionCode) bool) {
		for i := 0; i+1 < len(o); i += 2 {
			if !yield(OptionCode(binary.BigEndian.Uint16(o[i:]))) {
				return
			}
		}
	}
}

// Has tells whether the list names the code.
func (o ORO) Has(code OptionCode) bool {
	for c := range o.Codes() {
		if c == code {
			return true
		}
	}
	return false
}

// AppendBinary appends the whole OPTION_ORO; the error is ErrTooLong.
func (o ORO) AppendBinary(dst []byte) ([]byte, error) { return AppendOption(dst, OptionORO, o) }

// Length is the option's length in octets, header included.
func (o ORO) Length() int { return optionHeaderOctets + len(o) }
