package dhcpv6

import (
	"net/netip"
	"testing"
)

func TestClientData(t *testing.T) {
	checkOption(t, OptionClientData, ParseClientData, []codecCase[ClientData]{
		{"empty", ClientData{}, []byte{
			0, 45, // option-code: OPTION_CLIENT_DATA
			0, 0, // option-len
		}},
		{"a client with an address and a prefix", ClientData{Options: options(t,
			ClientID(duidEN),
			IAAddress{Address: addr("2001:db8:0:1::2"), Preferred: 60, Valid: 90},
			IAPrefix{Preferred: 60, Valid: 90, Prefix: netip.MustParsePrefix("2001:db8:ff00::/40")},
			CLTTime(30),
		)}, octets(
			[]byte{0, 45},       // option-code: OPTION_CLIENT_DATA
			[]byte{0, 83},       // option-len
			[]byte{0, 1, 0, 14}, // OPTION_CLIENTID
			duidEN,              // DUID
			[]byte{0, 5, 0, 24}, // OPTION_IAADDR
			[]byte{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2}, // IPv6-address
			[]byte{0, 0, 0, 60},  // preferred-lifetime
			[]byte{0, 0, 0, 90},  // valid-lifetime
			[]byte{0, 26, 0, 25}, // OPTION_IAPREFIX
			[]byte{0, 0, 0, 60},  // preferred-lifetime
			[]byte{0, 0, 0, 90},  // valid-lifetime
			[]byte{40},           // prefix-length
			[]byte{0x20, 0x01, 0x0d, 0xb8, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, // IPv6-prefix
			[]byte{0, 46, 0, 4}, // OPTION_CLT_TIME
			[]byte{0, 0, 0, 30}, // client-last-transaction-time
		)},
		{"unknown options and duplicates in order", ClientData{Options: Options{
			0xff, 0xff, 0, 1, 1, // an unknown option
			0, 1, 0, 1, 2, // OPTION_CLIENTID
			0xff, 0xff, 0, 0, // the unknown option again, empty
			0, 1, 0, 1, 2, // the same OPTION_CLIENTID again
		}}, []byte{
			0, 45, // option-code: OPTION_CLIENT_DATA
			0, 19, // option-len
			0xff, 0xff, 0, 1, 1, // an unknown option
			0, 1, 0, 1, 2, // OPTION_CLIENTID
			0xff, 0xff, 0, 0, // the unknown option again, empty
			0, 1, 0, 1, 2, // the same OPTION_CLIENTID again
		}},
	})
	checkBad(t, OptionClientData, ParseClientData, []badValue{
		{name: "one octet", value: []byte{0}, offset: 0, err: ErrTruncated, headless: true},
		{name: "second option cut short", value: []byte{0, 1, 0, 1, 9, 0, 46, 0, 4, 0, 0, 0}, offset: 5, err: ErrTruncated, within: OptionCLTTime},
	})
	checkTooLong(t, ClientData{Options: make([]byte, maxOptionValue+1)}, ClientData{Options: make([]byte, maxOptionValue)})
}
