package requestor

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// Query is what a server is asked (RFC 5007 4.1.2.1, RFC 5460 5.3). Type tells which of the values below it needs.
type Query struct {
	Type dhcpv6.QueryType
	// LinkAddress restricts the answer to one link, or is :: (or the zero Addr) for every link. QUERY_BY_LINK_ADDRESS needs it.
	LinkAddress netip.Addr
	Address     netip.Addr      // QUERY_BY_ADDRESS
	ClientID    []byte          // QUERY_BY_CLIENTID: the client's DUID
	RelayID     []byte          // QUERY_BY_RELAY_ID: the relay's DUID
	RemoteID    dhcpv6.RemoteID // QUERY_BY_REMOTE_ID
	// RelayData asks for OPTION_LQ_RELAY_DATA with each client.
	RelayData bool
	// BaseTime asks for OPTION_LQ_BASE_TIME in each message.
	BaseTime bool
	// Options are client options to ask for besides (RFC 5007 4.1.2.3), and others: the OPTION_ORO inside OPTION_LQ_QUERY.
	Options []dhcpv6.OptionCode
	// StartTime and EndTime, where not nil, restrict the answer to what changed between them, both included: seconds since
	// 2000-01-01T00:00:00Z in the server's time (RFC 7653 6.3.2, 6.3.3).
	StartTime, EndTime *uint32
}

// message is q as a LEASEQUERY of the requestor named by clientID.
func (q *Query) message(id dhcpv6.TransactionID, clientID []byte) (dhcpv6.Message, error) {
	options, err := identify(clientID)
	if err != nil {
		return dhcpv6.Message{}, err
	}
	inner, err := q.options()
	if err != nil {
		return dhcpv6.Message{}, err
	}
	link := q.LinkAddress
	if !link.IsValid() {
		link = netip.IPv6Unspecified()
	}
	lq := dhcpv6.LQQuery{Type: q.Type, LinkAddress: link, Options: inner}
	if options, err = lq.AppendBinary(options); err != nil {
		return dhcpv6.Message{}, fmt.Errorf("%w: %w", ErrQuery, err)
	}
	if options, err = q.appendTimes(options); err != nil {
		return dhcpv6.Message{}, fmt.Errorf("%w: %w", ErrQuery, err)
	}
	return dhcpv6.Message{Type: dhcpv6.MessageLeasequery, TransactionID: id, Options: options}, nil
}

// identify is the options that a query begins with: the requestor's own OPTION_CLIENTID.
func identify(clientID []byte) (dhcpv6.Options, error) {
	if len(clientID) == 0 {
		return nil, fmt.Errorf("%w: the requestor's own client-id is empty (RFC 5007 4.1.1)", ErrQuery)
	}
	options, err := dhcpv6.AppendOption(nil, dhcpv6.OptionClientID, clientID)
	if err != nil {
		return nil, fmt.Errorf("%w: client-id: %w", ErrQuery, err)
	}
	return options, nil
}

// options is what stands inside OPTION_LQ_QUERY: what the type needs, then OPTION_ORO.
func (q *Query) options() (dhcpv6.Options, error) {
	var out []byte
	var err error
	switch q.Type {
	case dhcpv6.QueryByAddress:
		if !q.Address.Is6() {
			return nil, fmt.Errorf("%w: address %v is not IPv6", ErrQuery, q.Address)
		}
		out, err = dhcpv6.IAAddress{Address: q.Address}.AppendBinary(nil)
	case dhcpv6.QueryByClientID:
		out, err = dhcpv6.AppendOption(nil, dhcpv6.OptionClientID, q.ClientID)
	case dhcpv6.QueryByRelayID:
		out, err = dhcpv6.AppendOption(nil, dhcpv6.OptionRelayID, q.RelayID)
	case dhcpv6.QueryByLinkAddress:
		if !q.LinkAddress.Is6() || q.LinkAddress.IsUnspecified() {
			return nil, fmt.Errorf("%w: link-address %v names no link", ErrQuery, q.LinkAddress)
		}
	case dhcpv6.QueryByRemoteID:
		out, err = q.RemoteID.AppendBinary(nil)
	default:
		return nil, fmt.Errorf("%w: query type %v", ErrQuery, q.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrQuery, err)
	}
	return q.appendORO(out)
}

// appendORO appends OPTION_ORO, if anything is asked for besides.
func (q *Query) appendORO(out []byte) ([]byte, error) {
	codes := slices.Clone(q.Options)
	if q.RelayData {
		codes = append(codes, dhcpv6.OptionLQRelayData)
	}
	if q.BaseTime {
		codes = append(codes, dhcpv6.OptionLQBaseTime)
	}
	if len(codes) == 0 {
		return out, nil
	}
	out, err := dhcpv6.NewORO(codes...).AppendBinary(out)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrQuery, err)
	}
	return out, nil
}

// appendTimes appends start and end time, which stand beside OPTION_LQ_QUERY.
func (q *Query) appendTimes(options []byte) ([]byte, error) {
	var err error
	if q.StartTime != nil {
		if options, err = dhcpv6.StartTime(*q.StartTime).AppendBinary(options); err != nil {
			return nil, err
		}
	}
	if q.EndTime != nil {
		if options, err = dhcpv6.EndTime(*q.EndTime).AppendBinary(options); err != nil {
			return nil, err
		}
	}
	return options, nil
}
