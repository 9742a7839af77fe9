package leasequery

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// refusal is an answer that is only a status.
type refusal struct {
	status dhcpv6.Status
	text   string
}

func refuse(s dhcpv6.Status, format string, args ...any) *refusal {
	return &refusal{status: s, text: fmt.Sprintf(format, args...)}
}

// query is what a LEASEQUERY asks, copied out of the message.
type query struct {
	kind      dhcpv6.QueryType
	link      netip.Addr
	address   netip.Addr          // QueryByAddress
	value     []byte              // QueryByClientID, QueryByRelayID, QueryByRemoteID
	requested []dhcpv6.OptionCode // by the option request option inside OPTION_LQ_QUERY; sorted
	baseTime  bool                // whether OPTION_LQ_BASE_TIME was asked for
	span      span                // of the times of change that are asked for
}

// asks tells whether the query's option request option names a code.
func (q *query) asks(c dhcpv6.OptionCode) bool {
	_, asked := slices.BinarySearch(q.requested, c)
	return asked
}

// parse reads a LEASEQUERY. What cannot be answered is a refusal. baseTime is told even then, as far as it could be read.
func parse(m dhcpv6.Message, over Transport) (q query, r *refusal) {
	r = q.parse(m, over)
	return q, r
}

// parse is the function of that name, into a query that may have been used before.
func (q *query) parse(m dhcpv6.Message, over Transport) *refusal {
	*q = query{value: q.value[:0], requested: q.requested[:0]}
	if over == TCP {
		q.baseTime = asksBaseTime(m.Options)
	}
	if m.Options.Count(dhcpv6.OptionLQQuery) > 1 {
		return refuse(dhcpv6.StatusMalformedQuery, "more than one OPTION_LQ_QUERY")
	}
	value, _ := m.Options.First(dhcpv6.OptionLQQuery)
	lq, err := dhcpv6.ParseLQQuery(value)
	if err != nil {
		return refuse(dhcpv6.StatusMalformedQuery, "OPTION_LQ_QUERY of %d octets is broken", len(value))
	}
	if over == TCP && asksBaseTime(lq.Options) {
		q.baseTime = true
	}
	q.kind, q.link = lq.Type, lq.LinkAddress
	if q.kind < dhcpv6.QueryByAddress || q.kind > dhcpv6.QueryByRemoteID {
		return refuse(dhcpv6.StatusUnknownQueryType, "query type %d is unknown", uint8(q.kind))
	}
	if over == UDP && q.kind > dhcpv6.QueryByClientID {
		return refuse(dhcpv6.StatusNotAllowed, "%v needs TCP", q.kind)
	}
	if r := q.parseRequested(m.Options, lq.Options); r != nil {
		return r
	}
	if r := q.parseSubject(lq.Options); r != nil {
		return r
	}
	if over == TCP {
		if r := q.span.parseTimes(m.Options, lq.Options); r != nil {
			return r
		}
	}
	return checkVSS(m.Options, lq.Options)
}

// asksBaseTime tells whether a well-formed option request option names OPTION_LQ_BASE_TIME (RFC 7653 6.3.1).
func asksBaseTime(o dhcpv6.Options) bool {
	v, ok := o.First(dhcpv6.OptionORO)
	return ok && len(v)%2 == 0 && dhcpv6.ORO(v).Has(dhcpv6.OptionLQBaseTime)
}

// parseRequested reads the option request option of the query, and checks that of the message.
func (q *query) parseRequested(message, inner dhcpv6.Options) *refusal {
	for _, o := range []dhcpv6.Options{message, inner} {
		if o.Count(dhcpv6.OptionORO) > 1 {
			return refuse(dhcpv6.StatusMalformedQuery, "more than one OPTION_ORO")
		}
		if v, ok := o.First(dhcpv6.OptionORO); ok && len(v)%2 != 0 {
			return refuse(dhcpv6.StatusMalformedQuery, "OPTION_ORO of %d octets", len(v))
		}
	}
	v, _ := inner.First(dhcpv6.OptionORO)
	q.requested = sortedCodes(q.requested[:0], v)
	return nil
}

// parseSubject reads what the query looks for: exactly one option of the kind that its type needs.
func (q *query) parseSubject(o dhcpv6.Options) *refusal {
	var code dhcpv6.OptionCode
	var name string
	var least, most int
	switch q.kind {
	case dhcpv6.QueryByAddress:
		code, name, least, most = dhcpv6.OptionIAAddr, "OPTION_IAADDR", 24, 65535
	case dhcpv6.QueryByClientID:
		code, name, least, most = dhcpv6.OptionClientID, "OPTION_CLIENTID", 1, maxDUID
	case dhcpv6.QueryByRelayID:
		code, name, least, most = dhcpv6.OptionRelayID, "OPTION_RELAY_ID", 1, maxDUID
	case dhcpv6.QueryByRemoteID:
		code, name, least, most = dhcpv6.OptionRemoteID, "OPTION_REMOTE_ID", 5, 65535
	default:
		if q.link.IsUnspecified() {
			return refuse(dhcpv6.StatusMalformedQuery, "%v with link-address ::", q.kind)
		}
		return nil
	}
	if n := o.Count(code); n != 1 {
		return refuse(dhcpv6.StatusMalformedQuery, "%v with %d %s", q.kind, n, name)
	}
	v, _ := o.First(code)
	if len(v) < least || len(v) > most {
		return refuse(dhcpv6.StatusMalformedQuery, "%s of %d octets", name, len(v))
	}
	if q.kind == dhcpv6.QueryByAddress {
		a, err := dhcpv6.ParseIAAddress(v)
		if err != nil {
			return refuse(dhcpv6.StatusMalformedQuery, "%s is broken", name)
		}
		q.address = a.Address
		return nil
	}
	q.value = append(q.value[:0], v...)
	return nil
}

// checkVSS refuses a query for any address space but the global one: an answer from that would put routes into the wrong VPN
// (RFC 6607 7).
func checkVSS(levels ...dhcpv6.Options) *refusal {
	for _, o := range levels {
		for code, v := range o.All() {
			if code != dhcpv6.OptionVSS {
				continue
			}
			switch x, err := dhcpv6.ParseVSS(v); {
			case err != nil:
				return refuse(dhcpv6.StatusMalformedQuery, "OPTION_VSS is empty")
			case x.Type != dhcpv6.VSSGlobal:
				return refuse(dhcpv6.StatusNotConfigured, "no address space but the global one")
			}
		}
	}
	return nil
}
