package dhcpv6

import "testing"

func TestLQRelayData(t *testing.T) {
	checkOption(t, OptionLQRelayData, ParseLQRelayData, []codecCase[LQRelayData]{
		{"no message", LQRelayData{Peer: addr("fe80::1")}, []byte{
			0, 47, // option-code: OPTION_LQ_RELAY_DATA
			0, 16, // option-len
			0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // peer-address
		}},
		{"one relay", LQRelayData{Peer: addr("2001:db8::1"), Message: octets(
			[]byte{12, 0}, make([]byte, 32), []byte{0, 18, 0, 2, 'p', '1'},
		)}, octets(
			[]byte{0, 47}, // option-code: OPTION_LQ_RELAY_DATA
			[]byte{0, 56}, // option-len
			[]byte{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, // peer-address
			[]byte{12, 0},       // DHCP-relay-message: RELAY-FORW, hop-count
			make([]byte, 32),    // link-address, peer-address
			[]byte{0, 18, 0, 2}, // OPTION_INTERFACE_ID
			[]byte{'p', '1'},    // interface-id
		)},
		{"a message that is none", LQRelayData{Peer: addr("::"), Message: []byte{1}}, octets(
			[]byte{0, 47, 0, 17}, // option-code, option-len
			make([]byte, 16),     // peer-address
			[]byte{1},            // DHCP-relay-message, broken off
		)},
	})
	checkBad(t, OptionLQRelayData, ParseLQRelayData, []badValue{
		{name: "empty", value: nil, offset: 0, err: ErrLength},
		{name: "15 octets", value: make([]byte, 15), offset: 15, err: ErrLength},
	})
	checkTooLong(t, LQRelayData{Message: make([]byte, maxOptionValue-15)}, LQRelayData{Message: make([]byte, maxOptionValue-16)})
}
