package dhcpv6

import "encoding/binary"

// CLTTime is the value of OPTION_CLT_TIME (RFC 5007 4.1.2.3): seconds since the client last spoke to its server.
type CLTTime uint32

// ParseCLTTime reads the option's value: 4 octets.
func ParseCLTTime(value []byte) (CLTTime, error) { return parseUint32[CLTTime](OptionCLTTime, value) }

// AppendBinary appends the whole option. It never fails.
func (t CLTTime) AppendBinary(dst []byte) ([]byte, error) {
	return appendUint32(dst, OptionCLTTime, uint32(t)), nil
}

// Length is the option's length in octets, header included.
func (t CLTTime) Length() int { return optionHeaderOctets + 4 }

func parseUint32[T ~uint32](code OptionCode, value []byte) (T, error) {
	if len(value) != 4 {
		return 0, parseError(code, min(len(value), 4), ErrLength)
	}
	return T(binary.BigEndian.Uint32(value)), nil
}

func appendUint32(dst []byte, code OptionCode, v uint32) []byte {
	return append(dst, byte(code>>8), byte(code), 0, 4, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}
