package dhcpv6

import "net/netip"

// LQQuery is the value of OPTION_LQ_QUERY (RFC 5007 4.1.2.1):
//
//	query-type, 1 octet; link-address, 16 octets; query-options
type LQQuery struct {
	Type        QueryType
	LinkAddress netip.Addr // :: where the query names no link
	Options     Options
}

// ParseLQQuery reads the option's value. The error is a *ParseError with offsets from the start of the value.
func ParseLQQuery(value []byte) (LQQuery, error) {
	if len(value) < lqQueryFixedOctets {
		return LQQuery{}, parseError(OptionLQQuery, len(value), ErrLength)
	}
	q := LQQuery{Type: QueryType(value[0]), LinkAddress: netip.AddrFrom16([16]byte(value[1:17])), Options: Options(value[lqQueryFixedOctets:])}
	if err := q.Options.validate(lqQueryFixedOctets); err != nil {
		return LQQuery{}, err
	}
	return q, nil
}

// AppendBinary appends the whole option; the error is ErrTooLong.
func (q LQQuery) AppendBinary(dst []byte) ([]byte, error) {
	n := lqQueryFixedOctets + len(q.Options)
	if n > maxOptionValue {
		return dst, ErrTooLong
	}
	dst = append(appendOptionHeader(dst, OptionLQQuery, n), byte(q.Type))
	return append(appendAddress(dst, q.LinkAddress), q.Options...), nil
}

// Length is the option's length in octets, header included.
func (q LQQuery) Length() int { return optionHeaderOctets + lqQueryFixedOctets + len(q.Options) }
