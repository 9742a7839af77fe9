package dhcpv6

import "testing"

func TestInterfaceID(t *testing.T) {
	checkOption(t, OptionInterfaceID, ParseInterfaceID, []codecCase[InterfaceID]{
		{"empty", nil, []byte{
			0, 18, // option-code: OPTION_INTERFACE_ID
			0, 0, // option-len
		}},
		{"a port", InterfaceID("ge-0/0/1.7"), octets(
			[]byte{0, 18},        // option-code: OPTION_INTERFACE_ID
			[]byte{0, 10},        // option-len
			[]byte("ge-0/0/1.7"), // interface-id
		)},
	})
	checkTooLong(t, InterfaceID(make([]byte, maxOptionValue+1)), InterfaceID(make([]byte, maxOptionValue)))
}
