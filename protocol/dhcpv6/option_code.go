package dhcpv6

import "fmt"

// OptionCode is the code of an option.
type OptionCode uint16

// The options that leasequery carries or answers with.
const (
	OptionClientID        OptionCode = 1   // OPTION_CLIENTID (RFC 8415 21.2)
	OptionServerID        OptionCode = 2   // OPTION_SERVERID (RFC 8415 21.3)
	OptionIAAddr          OptionCode = 5   // OPTION_IAADDR (RFC 8415 21.6)
	OptionORO             OptionCode = 6   // OPTION_ORO (RFC 8415 21.7)
	OptionRelayMessage    OptionCode = 9   // OPTION_RELAY_MSG (RFC 8415 21.10)
	OptionStatusCode      OptionCode = 13  // OPTION_STATUS_CODE (RFC 8415 21.13)
	OptionInterfaceID     OptionCode = 18  // OPTION_INTERFACE_ID (RFC 8415 21.18)
	OptionIAPrefix        OptionCode = 26  // OPTION_IAPREFIX (RFC 8415 21.22)
	OptionRemoteID        OptionCode = 37  // OPTION_REMOTE_ID (RFC 4649 3)
	OptionSubscriberID    OptionCode = 38  // OPTION_SUBSCRIBER_ID (RFC 4580 2)
	OptionClientFQDN      OptionCode = 39  // OPTION_CLIENT_FQDN (RFC 4704 4)
	OptionERO             OptionCode = 43  // OPTION_ERO (RFC 4994 3)
	OptionLQQuery         OptionCode = 44  // OPTION_LQ_QUERY (RFC 5007 4.1.2.1)
	OptionClientData      OptionCode = 45  // OPTION_CLIENT_DATA (RFC 5007 4.1.2.2)
	OptionCLTTime         OptionCode = 46  // OPTION_CLT_TIME (RFC 5007 4.1.2.3)
	OptionLQRelayData     OptionCode = 47  // OPTION_LQ_RELAY_DATA (RFC 5007 4.1.2.4)
	OptionLQClientLink    OptionCode = 48  // OPTION_LQ_CLIENT_LINK (RFC 5007 4.1.2.5)
	OptionRelayID         OptionCode = 53  // OPTION_RELAY_ID (RFC 5460 5.4.1)
	OptionVSS             OptionCode = 68  // OPTION_VSS (RFC 6607 3.4)
	OptionClientLinkLayer OptionCode = 79  // OPTION_CLIENT_LINKLAYER_ADDR (RFC 6939 4)
	OptionLQBaseTime      OptionCode = 100 // OPTION_LQ_BASE_TIME (RFC 7653 6.3.1)
	OptionLQStartTime     OptionCode = 101 // OPTION_LQ_START_TIME (RFC 7653 6.3.2)
	OptionLQEndTime       OptionCode = 102 // OPTION_LQ_END_TIME (RFC 7653 6.3.3)
	OptionRelaySourcePort OptionCode = 135 // OPTION_RELAY_PORT (RFC 8357 4.2)
)

// String is the option's name as in the RFCs.
func (c OptionCode) String() string {
	switch c {
	case OptionClientID:
		return "OPTION_CLIENTID"
	case OptionServerID:
		return "OPTION_SERVERID"
	case OptionIAAddr:
		return "OPTION_IAADDR"
	case OptionORO:
		return "OPTION_ORO"
	case OptionRelayMessage:
		return "OPTION_RELAY_MSG"
	case OptionStatusCode:
		return "OPTION_STATUS_CODE"
	case OptionInterfaceID:
		return "OPTION_INTERFACE_ID"
	case OptionIAPrefix:
		return "OPTION_IAPREFIX"
	case OptionRemoteID:
		return "OPTION_REMOTE_ID"
	case OptionSubscriberID:
		return "OPTION_SUBSCRIBER_ID"
	case OptionClientFQDN:
		return "OPTION_CLIENT_FQDN"
	case OptionERO:
		return "OPTION_ERO"
	case OptionLQQuery:
		return "OPTION_LQ_QUERY"
	case OptionClientData:
		return "OPTION_CLIENT_DATA"
	case OptionCLTTime:
		return "OPTION_CLT_TIME"
	case OptionLQRelayData:
		return "OPTION_LQ_RELAY_DATA"
	case OptionLQClientLink:
		return "OPTION_LQ_CLIENT_LINK"
	case OptionRelayID:
		return "OPTION_RELAY_ID"
	case OptionVSS:
		return "OPTION_VSS"
	case OptionClientLinkLayer:
		return "OPTION_CLIENT_LINKLAYER_ADDR"
	case OptionLQBaseTime:
		return "OPTION_LQ_BASE_TIME"
	case OptionLQStartTime:
		return "OPTION_LQ_START_TIME"
	case OptionLQEndTime:
		return "OPTION_LQ_END_TIME"
	case OptionRelaySourcePort:
		return "OPTION_RELAY_PORT"
	}
	return fmt.Sprintf("option %d", uint16(c))
}

// optionNone stands in a ParseError for octets that belong to no option.
const optionNone OptionCode = 0

// Octets on the wire.
const (
	messageHeaderOctets    = 4  // msg-type and transaction-id
	relayHeaderOctets      = 34 // msg-type, hop-count, link-address and peer-address
	optionHeaderOctets     = 4  // option-code and option-len
	maxOptionValue         = 65535
	addressOctets          = 16
	maxDUIDOctets          = 130 // RFC 8415 11.1: 2 of type, 128 of identifier
	iaAddressFixedOctets   = 24
	iaPrefixFixedOctets    = 25
	lqQueryFixedOctets     = 17
	lqRelayDataFixedOctets = addressOctets
	remoteIDFixedOctets    = 4
)
