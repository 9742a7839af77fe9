package dhcpv6

import "fmt"

// MessageType is the first octet of a message.
type MessageType uint8

// The message types that leasequery uses (RFC 8415 7.3, RFC 5007 4.1.1, RFC 5460 5.2, RFC 7653 5.2).
const (
	MessageReply            MessageType = 7  // REPLY: answers STARTTLS
	MessageRelayForward     MessageType = 12 // RELAY-FORW
	MessageRelayReply       MessageType = 13 // RELAY-REPL
	MessageLeasequery       MessageType = 14 // LEASEQUERY
	MessageLeasequeryReply  MessageType = 15 // LEASEQUERY-REPLY
	MessageLeasequeryDone   MessageType = 16 // LEASEQUERY-DONE
	MessageLeasequeryData   MessageType = 17 // LEASEQUERY-DATA
	MessageActiveLeasequery MessageType = 22 // ACTIVELEASEQUERY
	MessageStartTLS         MessageType = 23 // STARTTLS
)

// String is the type's name as in the RFCs.
func (t MessageType) String() string {
	switch t {
	case MessageReply:
		return "REPLY"
	case MessageRelayForward:
		return "RELAY-FORW"
	case MessageRelayReply:
		return "RELAY-REPL"
	case MessageLeasequery:
		return "LEASEQUERY"
	case MessageLeasequeryReply:
		return "LEASEQUERY-REPLY"
	case MessageLeasequeryDone:
		return "LEASEQUERY-DONE"
	case MessageLeasequeryData:
		return "LEASEQUERY-DATA"
	case MessageActiveLeasequery:
		return "ACTIVELEASEQUERY"
	case MessageStartTLS:
		return "STARTTLS"
	}
	return fmt.Sprintf("message type %d", uint8(t))
}

// OptionCode is the code of an option.
type OptionCode uint16

// The options that leasequery carries or answers with.
const (
	OptionClientID         OptionCode = 1   // OPTION_CLIENTID (RFC 8415 21.2)
	OptionServerID         OptionCode = 2   // OPTION_SERVERID (RFC 8415 21.3)
	OptionIAAddr           OptionCode = 5   // OPTION_IAADDR (RFC 8415 21.6)
	OptionORO              OptionCode = 6   // OPTION_ORO (RFC 8415 21.7)
	OptionRelayMessage     OptionCode = 9   // OPTION_RELAY_MSG (RFC 8415 21.10)
	OptionStatusCode       OptionCode = 13  // OPTION_STATUS_CODE (RFC 8415 21.13)
	OptionInterfaceID      OptionCode = 18  // OPTION_INTERFACE_ID (RFC 8415 21.18)
	OptionIAPrefix         OptionCode = 26  // OPTION_IAPREFIX (RFC 8415 21.22)
	OptionRemoteID         OptionCode = 37  // OPTION_REMOTE_ID (RFC 4649)
	OptionSubscriberID     OptionCode = 38  // OPTION_SUBSCRIBER_ID (RFC 4580)
	OptionClientFQDN       OptionCode = 39  // OPTION_CLIENT_FQDN (RFC 4704)
	OptionERO              OptionCode = 43  // OPTION_ERO (RFC 4994)
	OptionLQQuery          OptionCode = 44  // OPTION_LQ_QUERY (RFC 5007 4.1.2.1)
	OptionClientData       OptionCode = 45  // OPTION_CLIENT_DATA (RFC 5007 4.1.2.2)
	OptionCLTTime          OptionCode = 46  // OPTION_CLT_TIME (RFC 5007 4.1.2.3)
	OptionLQRelayData      OptionCode = 47  // OPTION_LQ_RELAY_DATA (RFC 5007 4.1.2.4)
	OptionLQClientLink     OptionCode = 48  // OPTION_LQ_CLIENT_LINK (RFC 5007 4.1.2.5)
	OptionRelayID          OptionCode = 53  // OPTION_RELAY_ID (RFC 5460 5.4.1)
	OptionVSS              OptionCode = 68  // OPTION_VSS (RFC 6607)
	OptionClientLinkLayer  OptionCode = 79  // OPTION_CLIENT_LINKLAYER_ADDR (RFC 6939)
	OptionLQBaseTime       OptionCode = 100 // OPTION_LQ_BASE_TIME (RFC 7653 6.3.1)
	OptionLQStartTime      OptionCode = 101 // OPTION_LQ_START_TIME (RFC 7653 6.3.2)
	OptionLQEndTime        OptionCode = 102 // OPTION_LQ_END_TIME (RFC 7653 6.3.3)
	OptionRelaySourcePort  OptionCode = 135 // OPTION_RELAY_PORT (RFC 8357)
	optionNone             OptionCode = 0   // no option: an error about a message's own header
	maxOptionValue                    = 65535
	optionHeaderOctets                = 4
	messageHeaderOctets               = 4
	relayHeaderOctets                 = 34
	hopCountLimit                     = 32 // relays in a chain that are read
	addressOctets                     = 16
	iaAddressFixedOctets              = 24
	iaPrefixFixedOctets               = 25
	lqQueryFixedOctets                = 17
	remoteIDFixedOctets               = 4
	maxClientLinks                    = maxOptionValue / addressOctets
	maxDUIDOctets                     = 130 // RFC 8415 11.1: 2 of type, 128 of identifier
	lqRelayDataFixedOctets            = addressOctets
)

// Status is a status code (RFC 8415 21.13, RFC 5007 4.1.3, RFC 5460 5.5, RFC 7653 5.4).
type Status uint16

// The status codes of leasequery.
const (
	StatusSuccess              Status = 0
	StatusUnspecFail           Status = 1
	StatusUnknownQueryType     Status = 7
	StatusMalformedQuery       Status = 8
	StatusNotConfigured        Status = 9
	StatusNotAllowed           Status = 10
	StatusQueryTerminated      Status = 11
	StatusDataMissing          Status = 12
	StatusCatchUpComplete      Status = 13
	StatusNotSupported         Status = 14
	StatusTLSConnectionRefused Status = 15
)

// String is the status code's name as in the RFCs.
func (s Status) String() string {
	switch s {
	case StatusSuccess:
		return "Success"
	case StatusUnspecFail:
		return "UnspecFail"
	case StatusUnknownQueryType:
		return "UnknownQueryType"
	case StatusMalformedQuery:
		return "MalformedQuery"
	case StatusNotConfigured:
		return "NotConfigured"
	case StatusNotAllowed:
		return "NotAllowed"
	case StatusQueryTerminated:
		return "QueryTerminated"
	case StatusDataMissing:
		return "DataMissing"
	case StatusCatchUpComplete:
		return "CatchUpComplete"
	case StatusNotSupported:
		return "NotSupported"
	case StatusTLSConnectionRefused:
		return "TLSConnectionRefused"
	}
	return fmt.Sprintf("status %d", uint16(s))
}

// QueryType says what a query looks for.
type QueryType uint8

// The query types (RFC 5007 4.1.2.1, RFC 5460 5.1).
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
