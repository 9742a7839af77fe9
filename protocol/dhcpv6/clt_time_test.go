package dhcpv6

import "testing"

func TestCLTTime(t *testing.T) {
	checkOption(t, OptionCLTTime, ParseCLTTime, []codecCase[CLTTime]{
		{"zero", 0, []byte{
			0, 46, // option-code: OPTION_CLT_TIME
			0, 4, // option-len
			0, 0, 0, 0, // client-last-transaction-time
		}},
		{"a day", 86400, []byte{
			0, 46, // option-code: OPTION_CLT_TIME
			0, 4, // option-len
			0x00, 0x01, 0x51, 0x80, // client-last-transaction-time
		}},
		{"longest", 0xffffffff, []byte{
			0, 46, // option-code: OPTION_CLT_TIME
			0, 4, // option-len
			0xff, 0xff, 0xff, 0xff, // client-last-transaction-time
		}},
	})
	checkBad(t, OptionCLTTime, ParseCLTTime, []badValue{
		{name: "empty", value: nil, offset: 0, err: ErrLength},
		{name: "three octets", value: []byte{0, 0, 1}, offset: 3, err: ErrLength},
		{name: "five octets", value: []byte{0, 0, 0, 1, 0}, offset: 4, err: ErrLength},
	})
}
