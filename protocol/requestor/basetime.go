package requestor

import "github.com/leasehold/leasehold/protocol/dhcpv6"

// baseTime is the value of an OPTION_LQ_BASE_TIME, if there is one: seconds since 2000-01-01T00:00:00Z, modulo 2^32 (RFC 7653 6.3.1).
type baseTime struct {
	seconds uint32
	known   bool
}

// parse reads the one of a message.
func (b *baseTime) parse(m dhcpv6.Message) error {
	*b = baseTime{}
	value, ok := m.Options.First(dhcpv6.OptionLQBaseTime)
	if !ok {
		return nil
	}
	t, err := dhcpv6.ParseBaseTime(value)
	if err != nil {
		return err
	}
	*b = baseTime{uint32(t), true}
	return nil
}

// after tells whether b is later than other, as far as can be told modulo 2^32.
func (b baseTime) after(other uint32) bool { return b.known && int32(b.seconds-other) > 0 }
