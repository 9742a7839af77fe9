package dhcpv6

// ClientData is the value of OPTION_CLIENT_DATA (RFC 5007 4.1.2.2): the options that tell of one client on one link.
type ClientData struct {
	Options Options
}

// ParseClientData reads the option's value. The error is a *ParseError with offsets from the start of the value.
func ParseClientData(value []byte) (ClientData, error) {
	d := ClientData{Options: Options(value)}
	if err := d.Options.validate(0); err != nil {
		return ClientData{}, err
	}
	return d, nil
}

// AppendBinary appends the whole option; the error is ErrTooLong.
func (d ClientData) AppendBinary(dst []byte) ([]byte, error) {
	return AppendOption(dst, OptionClientData, d.Options)
}

// Length is the option's length in octets, header included.
func (d ClientData) Length() int { return optionHeaderOctets + len(d.Options) }
