package dhcpv6

import "testing"

func TestRelayPort(t *testing.T) {
	checkOption(t, OptionRelaySourcePort, ParseRelayPort, []codecCase[RelayPort]{
		{"none", 0, []byte{
			0, 135, // option-code: OPTION_RELAY_PORT
			0, 2, // option-len
			0, 0, // downstream source port
		}},
		{"1000", 1000, []byte{
			0, 135, // option-code: OPTION_RELAY_PORT
			0, 2, // option-len
			0x03, 0xe8, // downstream source port
		}},
	})
	checkBad(t, OptionRelaySourcePort, ParseRelayPort, []badValue{
		{name: "empty", value: nil, offset: 0, err: ErrLength},
		{name: "one octet", value: []byte{3}, offset: 1, err: ErrLength},
		{name: "three octets", value: []byte{3, 0xe8, 0}, offset: 2, err: ErrLength},
	})
}
