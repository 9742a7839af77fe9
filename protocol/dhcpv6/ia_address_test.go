package dhcpv6

import "testing"

func TestIAAddress(t *testing.T) {
	lone := []byte{
		0, 5, // option-code: OPTION_IAADDR
		0, 24, // option-len
		0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, // IPv6-address
		0x00, 0x00, 0x0e, 0x10, // preferred-lifetime
		0x00, 0x00, 0x1c, 0x20, // valid-lifetime
	}
	checkOption(t, OptionIAAddr, ParseIAAddress, []codecCase[IAAddress]{
		{"lone", IAAddress{Address: addr("2001:db8:0:1::2"), Preferred: 3600, Valid: 7200}, lone},
		{"ended", IAAddress{Address: addr("2001:db8:0:1::2")}, octets(lone[:20], make([]byte, 8))},
		{"infinite, with options", IAAddress{
			Address: addr("fd00::1"), Preferred: 0xffffffff, Valid: 0xffffffff,
			Options: options(t, StatusCode{Status: StatusSuccess}),
		}, []byte{
			0, 5, // option-code: OPTION_IAADDR
			0, 30, // option-len
			0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // IPv6-address
			0xff, 0xff, 0xff, 0xff, // preferred-lifetime: infinity
			0xff, 0xff, 0xff, 0xff, // valid-lifetime: infinity
			0, 13, // IAaddr-options: OPTION_STATUS_CODE
			0, 2, // option-len
			0, 0, // status-code: Success
		}},
		{"IPv4-mapped address is kept", IAAddress{Address: addr("::ffff:192.0.2.1")}, []byte{
			0, 5, // option-code: OPTION_IAADDR
			0, 24, // option-len
			0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1, // IPv6-address
			0, 0, 0, 0, // preferred-lifetime
			0, 0, 0, 0, // valid-lifetime
		}},
	})
	checkBad(t, OptionIAAddr, ParseIAAddress, []badValue{
		{name: "empty", value: nil, offset: 0, err: ErrLength},
		{name: "one octet short", value: lone[4:27], offset: 23, err: ErrLength},
		{name: "one octet behind", value: octets(lone[4:], []byte{0}), offset: 24, err: ErrTruncated, headless: true},
		{name: "option cut short", value: octets(lone[4:], []byte{0, 13, 0, 3, 0, 0}), offset: 24, err: ErrTruncated, within: OptionStatusCode},
	})
	checkTooLong(t, IAAddress{Options: make([]byte, maxOptionValue-23)}, IAAddress{Options: make([]byte, maxOptionValue-24)})
}
