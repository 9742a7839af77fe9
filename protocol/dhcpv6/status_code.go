package dhcpv6

import "encoding/binary"

// StatusCode is the value of OPTION_STATUS_CODE (RFC 8415 21.13): a code and a text in UTF-8 without a final NUL.
type StatusCode struct {
	Status Status
	Text   string
}

// ParseStatusCode reads the option's value.
func ParseStatusCode(value []byte) (StatusCode, error) {
	if len(value) < 2 {
		return StatusCode{}, parseError(OptionStatusCode, len(value), ErrLength)
	}
	return StatusCode{Status: Status(binary.BigEndian.Uint16(value)), Text: string(value[2:])}, nil
}

// AppendBinary appends the whole option; the error is ErrTooLong.
func (s StatusCode) AppendBinary(dst []byte) ([]byte, error) {
	if 2+len(s.Text) > maxOptionValue {
		return dst, ErrTooLong
	}
	dst = appendOptionHeader(dst, OptionStatusCode, 2+len(s.Text))
	dst = append(dst, byte(s.Status>>8), byte(s.Status))
	return append(dst, s.Text...), nil
}

// Length is the option's length in octets, header included.
func (s StatusCode) Length() int { return optionHeaderOctets + 2 + len(s.Text) }
