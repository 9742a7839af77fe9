package dhcpv6

import "fmt"

// QueryType says what a query looks for.
type QueryType uint8

// The query types (RFC 5007 4.1.2.1, RFC 5460 5.3).
const (
	QueryByAddress     QueryType = 1 // QUERY_BY_ADDRESS
	QueryByClientID    QueryType = 2 // QUERY_BY_CLIENTID
	QueryByRelayID     QueryType = 3 // QUERY_BY_RELAY_ID
	QueryByLinkAddress QueryType = 4 // QUERY_BY_LINK_ADDRESS
	QueryByRemoteID    QueryType = 5 // QUERY_BY_REMOTE_ID
)

// String is the query type's name as in the RFCs.
func (q QueryType) String() string {
	switch q {
	case QueryByAddress:
		return "QUERY_BY_ADDRESS"
	case QueryByClientID:
		return "QUERY_BY_CLIENTID"
	case QueryByRelayID:
		return "QUERY_BY_RELAY_ID"
	case QueryByLinkAddress:
		return "QUERY_BY_LINK_ADDRESS"
	case QueryByRemoteID:
		return "QUERY_BY_REMOTE_ID"
	}
	return fmt.Sprintf("query type %d", uint8(q))
}
