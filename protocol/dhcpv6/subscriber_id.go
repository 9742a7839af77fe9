package dhcpv6

// SubscriberID is the value of OPTION_SUBSCRIBER_ID (RFC 4580 2): opaque octets of a relay.
type SubscriberID []byte

// ParseSubscriberID reads the option's value: any octets, none included. It never fails.
func ParseSubscriberID(value []byte) (SubscriberID, error) { return SubscriberID(value), nil }

// AppendBinary appends the whole option; the error is ErrTooLong.
func (s SubscriberID) AppendBinary(dst []byte) ([]byte, error) {
	return AppendOption(dst, OptionSubscriberID, s)
}

// Length is the option's length in octets, header included.
func (s SubscriberID) Length() int { return optionHeaderOctets + len(s) }
