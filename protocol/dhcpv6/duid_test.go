package dhcpv6

import (
	"bytes"
	"testing"
)

// The DUIDs of the tests: DUID-LLT, DUID-EN, and octets that are no DUID of RFC 8415 but are kept all the same.
var (
	duidLLT = []byte{
		0, 1, // type: DUID-LLT
		0, 1, // hardware type: Ethernet
		0x1c, 0x39, 0xcf, 0x88, // time
		0x08, 0x00, 0x27, 0xfe, 0x8f, 0x95, // link-layer address
	}
	duidEN = []byte{
		0, 2, // type: DUID-EN
		0, 0, 0, 9, // enterprise-number
		0x0c, 0xc0, 0x84, 0xd3, 0x03, 0x00, 0x09, 0x12, // identifier
	}
	duidOdd = []byte{0x00}
)

func TestClientID(t *testing.T) {
	checkOption(t, OptionClientID, ParseClientID, []codecCase[ClientID]{
		{"link layer and time", duidLLT, octets(
			[]byte{0, 1},  // option-code: OPTION_CLIENTID
			[]byte{0, 14}, // option-len
			duidLLT,       // DUID
		)},
		{"one octet", duidOdd, []byte{
			0, 1, // option-code: OPTION_CLIENTID
			0, 1, // option-len
			0, // DUID
		}},
		{"longest", bytes.Repeat([]byte{7}, 130), octets(
			[]byte{0, 1},                 // option-code: OPTION_CLIENTID
			[]byte{0, 130},               // option-len
			bytes.Repeat([]byte{7}, 130), // DUID
		)},
	})
	checkBad(t, OptionClientID, ParseClientID, badDUIDs)
	checkTooLong(t, ClientID(make([]byte, maxOptionValue+1)), ClientID(make([]byte, maxOptionValue)))
}

func TestServerID(t *testing.T) {
	checkOption(t, OptionServerID, ParseServerID, []codecCase[ServerID]{
		{"enterprise", duidEN, octets(
			[]byte{0, 2},  // option-code: OPTION_SERVERID
			[]byte{0, 14}, // option-len
			duidEN,        // DUID
		)},
	})
	checkBad(t, OptionServerID, ParseServerID, badDUIDs)
	checkTooLong(t, ServerID(make([]byte, maxOptionValue+1)), ServerID(make([]byte, maxOptionValue)))
}

func TestRelayID(t *testing.T) {
	checkOption(t, OptionRelayID, ParseRelayID, []codecCase[RelayID]{
		{"enterprise", duidEN, octets(
			[]byte{0, 53}, // option-code: OPTION_RELAY_ID
			[]byte{0, 14}, // option-len
			duidEN,        // DUID
		)},
	})
	checkBad(t, OptionRelayID, ParseRelayID, badDUIDs)
	checkTooLong(t, RelayID(make([]byte, maxOptionValue+1)), RelayID(make([]byte, maxOptionValue)))
}

var badDUIDs = []badValue{
	{name: "empty", value: nil, offset: 0, err: ErrLength},
	{name: "131 octets", value: make([]byte, 131), offset: 130, err: ErrLength},
	{name: "longest option", value: make([]byte, maxOptionValue), offset: 130, err: ErrLength},
}
