package dhcpv6

import (
	"encoding/binary"
	"iter"
)

// Options is a run of options as octets (RFC 8415 21.1):
//
//	 0                   1                   2                   3
//	+-------------------------------+-------------------------------+
//	|          option-code          |           option-len          |
//	+-------------------------------+-------------------------------+
//	|                    option-data (option-len octets)            |
//
// Reading it copies nothing.
type Options []byte

// Validate checks that o is a whole number of options; the error is a *ParseError with offsets from the start of o.
func (o Options) Validate() error { return o.validate(0) }

func (o Options) validate(base int) error {
	for off := 0; off < len(o); {
		rest := o[off:]
		if len(rest) < 2 {
			return parseError(optionNone, base+off, ErrTruncated)
		}
		code := OptionCode(binary.BigEndian.Uint16(rest))
		if len(rest) < optionHeaderOctets {
			return parseError(code, base+off, ErrTruncated)
		}
		n := optionHeaderOctets + int(binary.BigEndian.Uint16(rest[2:]))
		if len(rest) < n {
			return parseError(code, base+off, ErrTruncated)
		}
		off += n
	}
	return nil
}

// All iterates over the options in order, duplicates included. It stops where the octets break off.
func (o Options) All() iter.Seq2[OptionCode, []byte] {
	return func(yield func(OptionCode, []byte) bool) {
		for rest := o; len(rest) >= optionHeaderOctets; {
			n := optionHeaderOctets + int(binary.BigEndian.Uint16(rest[2:]))
			if len(rest) < n || !yield(OptionCode(binary.BigEndian.Uint16(rest)), rest[optionHeaderOctets:n:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}

// First is the value of the first option with this code.
func (o Options) First(code OptionCode) (value []byte, ok bool) {
	start, end := o.locate(code)
	if start == 0 {
		return nil, false
	}
	return o[start:end:end], true
}

// locate is where the value of the first option with this code lies, o[start:end]; start is 0 where there is none.
func (o Options) locate(code OptionCode) (start, end int) {
	for start = optionHeaderOctets; start <= len(o); start = end + optionHeaderOctets {
		header := o[start-optionHeaderOctets : start]
		end = start + int(binary.BigEndian.Uint16(header[2:]))
		if end > len(o) {
			break
		}
		if OptionCode(binary.BigEndian.Uint16(header)) == code {
			return start, end
		}
	}
	return 0, 0
}

// Count is how many options have this code.
func (o Options) Count(code OptionCode) int {
	n := 0
	for c := range o.All() {
		if c == code {
			n++
		}
	}
	return n
}

// AppendOption appends one option. The error is ErrTooLong, with dst unchanged.
func AppendOption(dst []byte, code OptionCode, value []byte) ([]byte, error) {
	if len(value) > maxOptionValue {
		return dst, ErrTooLong
	}
	dst = appendOptionHeader(dst, code, len(value))
	return append(dst, value...), nil
}

func appendOptionHeader(dst []byte, code OptionCode, length int) []byte {
	return append(dst, byte(code>>8), byte(code), byte(length>>8), byte(length))
}

// OpenOption appends the header of an option whose value the caller appends next; CloseOption, given mark, sets its length.
// Options nest.
func OpenOption(dst []byte, code OptionCode) (out []byte, mark int) {
	return append(dst, byte(code>>8), byte(code), 0, 0), len(dst) + optionHeaderOctets
}

// CloseOption sets the length of the option that OpenOption began. If its value is too long the error is ErrTooLong, and dst is
// cut back to before the option.
func CloseOption(dst []byte, mark int) ([]byte, error) {
	n := len(dst) - mark
	if n > maxOptionValue {
		return dst[:mark-optionHeaderOctets], ErrTooLong
	}
	dst[mark-2], dst[mark-1] = byte(n>>8), byte(n)
	return dst, nil
}
