package dhcpv6

import (
	"fmt"
	"testing"
)

// The numbers that IANA registered, beside their names in the RFCs: what goes over the wire must never drift.
func TestNumbersAndNames(t *testing.T) {
	for _, tc := range []struct {
		value fmt.Stringer
		wire  int
		name  string
	}{
		{MessageReply, 7, "REPLY"},
		{MessageRelayForward, 12, "RELAY-FORW"},
		{MessageRelayReply, 13, "RELAY-REPL"},
		{MessageLeasequery, 14, "LEASEQUERY"},
		{MessageLeasequeryReply, 15, "LEASEQUERY-REPLY"},
		{MessageLeasequeryDone, 16, "LEASEQUERY-DONE"},
		{MessageLeasequeryData, 17, "LEASEQUERY-DATA"},
		{MessageActiveLeasequery, 22, "ACTIVELEASEQUERY"},
		{MessageStartTLS, 23, "STARTTLS"},
		{MessageType(1), 1, "message type 1"},

		{OptionClientID, 1, "OPTION_CLIENTID"},
		{OptionServerID, 2, "OPTION_SERVERID"},
		{OptionIAAddr, 5, "OPTION_IAADDR"},
		{OptionORO, 6, "OPTION_ORO"},
		{OptionRelayMessage, 9, "OPTION_RELAY_MSG"},
		{OptionStatusCode, 13, "OPTION_STATUS_CODE"},
		{OptionInterfaceID, 18, "OPTION_INTERFACE_ID"},
		{OptionIAPrefix, 26, "OPTION_IAPREFIX"},
		{OptionRemoteID, 37, "OPTION_REMOTE_ID"},
		{OptionSubscriberID, 38, "OPTION_SUBSCRIBER_ID"},
		{OptionClientFQDN, 39, "OPTION_CLIENT_FQDN"},
		{OptionERO, 43, "OPTION_ERO"},
		{OptionLQQuery, 44, "OPTION_LQ_QUERY"},
		{OptionClientData, 45, "OPTION_CLIENT_DATA"},
		{OptionCLTTime, 46, "OPTION_CLT_TIME"},
		{OptionLQRelayData, 47, "OPTION_LQ_RELAY_DATA"},
		{OptionLQClientLink, 48, "OPTION_LQ_CLIENT_LINK"},
		{OptionRelayID, 53, "OPTION_RELAY_ID"},
		{OptionVSS, 68, "OPTION_VSS"},
		{OptionClientLinkLayer, 79, "OPTION_CLIENT_LINKLAYER_ADDR"},
		{OptionLQBaseTime, 100, "OPTION_LQ_BASE_TIME"},
		{OptionLQStartTime, 101, "OPTION_LQ_START_TIME"},
		{OptionLQEndTime, 102, "OPTION_LQ_END_TIME"},
		{OptionRelaySourcePort, 135, "OPTION_RELAY_PORT"},
		{OptionCode(65535), 65535, "option 65535"},

		{StatusSuccess, 0, "Success"},
		{StatusUnspecFail, 1, "UnspecFail"},
		{StatusUnknownQueryType, 7, "UnknownQueryType"},
		{StatusMalformedQuery, 8, "MalformedQuery"},
		{StatusNotConfigured, 9, "NotConfigured"},
		{StatusNotAllowed, 10, "NotAllowed"},
		{StatusQueryTerminated, 11, "QueryTerminated"},
		{StatusDataMissing, 12, "DataMissing"},
		{StatusCatchUpComplete, 13, "CatchUpComplete"},
		{StatusNotSupported, 14, "NotSupported"},
		{StatusTLSConnectionRefused, 15, "TLSConnectionRefused"},
		{Status(16), 16, "status 16"},

		{QueryByAddress, 1, "QUERY_BY_ADDRESS"},
		{QueryByClientID, 2, "QUERY_BY_CLIENTID"},
		{QueryByRelayID, 3, "QUERY_BY_RELAY_ID"},
		{QueryByLinkAddress, 4, "QUERY_BY_LINK_ADDRESS"},
		{QueryByRemoteID, 5, "QUERY_BY_REMOTE_ID"},
		{QueryType(0), 0, "query type 0"},
	} {
		if got := fmt.Sprintf("%d", tc.value); got != fmt.Sprint(tc.wire) {
			t.Errorf("%s goes over the wire as %s, want %d", tc.name, got, tc.wire)
		}
		if got := tc.value.String(); got != tc.name {
			t.Errorf("%T %d is called %q, want %q", tc.value, tc.wire, got, tc.name)
		}
	}
}
