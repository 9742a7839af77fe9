package dhcpv6

// BaseTime is the value of OPTION_LQ_BASE_TIME (RFC 7653 6.3.1): seconds since 2000-01-01T00:00:00Z, modulo 2^32; other times in
// the message count from it.
type BaseTime uint32

// ParseBaseTime reads the option's value: 4 octets.
func ParseBaseTime(value []byte) (BaseTime, error) {
	return parseUint32[BaseTime](OptionLQBaseTime, value)
}

// AppendBinary appends the whole option. It never fails.
func (t BaseTime) AppendBinary(dst []byte) ([]byte, error) {
	return appendUint32(dst, OptionLQBaseTime, uint32(t)), nil
}

// Length is the option's length in octets, header included.
func (t BaseTime) Length() int { return optionHeaderOctets + 4 }

// StartTime is the value of OPTION_LQ_START_TIME (RFC 7653 6.3.2): only changes at or after it are wanted. Units as BaseTime.
type StartTime uint32

// ParseStartTime reads the option's value: 4 octets.
func ParseStartTime(value []byte) (StartTime, error) {
	return parseUint32[StartTime](OptionLQStartTime, value)
}

// AppendBinary appends the whole option. It never fails.
func (t StartTime) AppendBinary(dst []byte) ([]byte, error) {
	return appendUint32(dst, OptionLQStartTime, uint32(t)), nil
}

// Length is the option's length in octets, header included.
func (t StartTime) Length() int { return optionHeaderOctets + 4 }

// EndTime is the value of OPTION_LQ_END_TIME (RFC 7653 6.3.3): only changes at or before it are wanted. Units as BaseTime.
type EndTime uint32

// ParseEndTime reads the option's value: 4 octets.
func ParseEndTime(value []byte) (EndTime, error) { return parseUint32[EndTime](OptionLQEndTime, value) }

// AppendBinary appends the whole option. It never fails.
func (t EndTime) AppendBinary(dst []byte) ([]byte, error) {
	return appendUint32(dst, OptionLQEndTime, uint32(t)), nil
}

// Length is the option's length in octets, header included.
func (t EndTime) Length() int { return optionHeaderOctets + 4 }
