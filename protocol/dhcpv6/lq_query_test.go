package dhcpv6

import "testing"

func TestLQQuery(t *testing.T) {
	byLink := []byte{
		0, 44, // option-code: OPTION_LQ_QUERY
		0, 17, // option-len
		4,                                                          // query-type: QUERY_BY_LINK_ADDRESS
		0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // link-address
	}
	checkOption(t, OptionLQQuery, ParseLQQuery, []codecCase[LQQuery]{
		{"by link-address", LQQuery{Type: QueryByLinkAddress, LinkAddress: addr("2001:db8:1::")}, byLink},
		{"by address, everywhere", LQQuery{
			Type: QueryByAddress, LinkAddress: addr("::"), Options: options(t, IAAddress{Address: addr("2001:db8::7")}, NewORO(OptionLQRelayData)),
		}, []byte{
			0, 44, // option-code: OPTION_LQ_QUERY
			0, 51, // option-len
			1,                                              // query-type: QUERY_BY_ADDRESS
			0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // link-address
			0, 5, // query-options: OPTION_IAADDR
			0, 24, // option-len
			0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, // IPv6-address
			0, 0, 0, 0, // preferred-lifetime
			0, 0, 0, 0, // valid-lifetime
			0, 6, // OPTION_ORO
			0, 2, // option-len
			0, 47, // OPTION_LQ_RELAY_DATA
		}},
		{"by remote-id", LQQuery{
			Type: QueryByRemoteID, LinkAddress: addr("2001:db8:1::"), Options: options(t, RemoteID{Enterprise: 9, ID: []byte("port 7")}),
		}, []byte{
			0, 44, // option-code: OPTION_LQ_QUERY
			0, 31, // option-len
			5,                                                          // query-type: QUERY_BY_REMOTE_ID
			0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // link-address
			0, 37, // query-options: OPTION_REMOTE_ID
			0, 10, // option-len
			0, 0, 0, 9, // enterprise-number
			'p', 'o', 'r', 't', ' ', '7', // remote-id
		}},
		{"unknown type", LQQuery{Type: 255, LinkAddress: addr("::")}, octets(
			[]byte{0, 44, 0, 17}, // option-code, option-len
			[]byte{255},          // query-type
			make([]byte, 16),     // link-address
		)},
	})
	checkBad(t, OptionLQQuery, ParseLQQuery, []badValue{
		{name: "empty", value: nil, offset: 0, err: ErrLength},
		{name: "one octet short", value: byLink[4:20], offset: 16, err: ErrLength},
		{name: "one octet behind", value: octets(byLink[4:], []byte{0}), offset: 17, err: ErrTruncated, headless: true},
		{name: "second query-option cut short", value: octets(byLink[4:], []byte{0, 1, 0, 1, 9, 0, 6, 0, 2, 0}), offset: 22, err: ErrTruncated, within: OptionORO},
	})
	checkTooLong(t, LQQuery{Options: make([]byte, maxOptionValue-16)}, LQQuery{Options: make([]byte, maxOptionValue-17)})
}
