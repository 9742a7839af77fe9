package dhcpv6

// VSS is the value of OPTION_VSS (RFC 6607 3.4): which virtual network a query or client belongs to.
type VSS struct {
	Type uint8 // 0 NVT ASCII VPN identifier, 1 RFC 2685 VPN-ID, 255 global, default
	Info []byte
}

// VSSGlobal is the type of the global, default address space.
const VSSGlobal = 255

// ParseVSS reads the option's value: 1 octet at least; what it means is left to the reader.
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
