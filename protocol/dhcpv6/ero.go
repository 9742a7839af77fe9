package dhcpv6

import "iter"

// ERO is the value of OPTION_ERO (RFC 4994 3) as octets: the codes of options that a relay wants back, two octets each.
type ERO []byte

// ParseERO reads the option's value: an even number of octets.
func ParseERO(value []byte) (ERO, error) { return parseCodes[ERO](OptionERO, value) }

// NewERO lists option codes.
func NewERO(codes ...OptionCode) ERO { return ERO(NewORO(codes...)) }

// Codes iterates over the option codes in order.
func (e ERO) Codes() iter.Seq[OptionCode] { return ORO(e).Codes() }

// Has tells whether the list names the code.
func (e ERO) Has(code OptionCode) bool { return ORO(e).Has(code) }

// AppendBinary appends the whole option; the error is ErrTooLong.
func (e ERO) AppendBinary(dst []byte) ([]byte, error) { return AppendOption(dst, OptionERO, e) }

// Length is the option's length in octets, header included.
func (e ERO) Length() int { return optionHeaderOctets + len(e) }
