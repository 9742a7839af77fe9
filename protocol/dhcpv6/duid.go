package dhcpv6

// ClientID is the value of OPTION_CLIENTID (RFC 8415 21.2): a DUID, opaque octets.
type ClientID []byte

// ParseClientID reads the option's value: 1 to 130 octets.
func ParseClientID(value []byte) (ClientID, error) { return parseDUID[ClientID](OptionClientID, value) }

// AppendBinary appends the whole option; the error is ErrTooLong.
func (d ClientID) AppendBinary(dst []byte) ([]byte, error) {
	return AppendOption(dst, OptionClientID, d)
}

// Length is the option's length in octets, header included.
func (d ClientID) Length() int { return optionHeaderOctets + len(d) }

// ServerID is the value of OPTION_SERVERID (RFC 8415 21.3): a DUID, opaque octets.
type ServerID []byte

// ParseServerID reads the option's value: 1 to 130 octets.
func ParseServerID(value []byte) (ServerID, error) { return parseDUID[ServerID](OptionServerID, value) }

// AppendBinary appends the whole option; the error is ErrTooLong.
func (d ServerID) AppendBinary(dst []byte) ([]byte, error) {
	return AppendOption(dst, OptionServerID, d)
}

// Length is the option's length in octets, header included.
func (d ServerID) Length() int { return optionHeaderOctets + len(d) }

// RelayID is the value of OPTION_RELAY_ID (RFC 5460 5.4.1): a relay agent's DUID, opaque octets.
type RelayID []byte

// ParseRelayID reads the option's value: 1 to 130 octets.
func ParseRelayID(value []byte) (RelayID, error) { return parseDUID[RelayID](OptionRelayID, value) }

// AppendBinary appends the whole option; the error is ErrTooLong.
func (d RelayID) AppendBinary(dst []byte) ([]byte, error) { return AppendOption(dst, OptionRelayID, d) }

// Length is the option's length in octets, header included.
func (d RelayID) Length() int { return optionHeaderOctets + len(d) }

func parseDUID[T ~[]byte](code OptionCode, value []byte) (T, error) {
	if len(value) == 0 || len(value) > maxDUIDOctets {
		return nil, parseError(code, min(len(value), maxDUIDOctets), ErrLength)
	}
	return T(value), nil
}
