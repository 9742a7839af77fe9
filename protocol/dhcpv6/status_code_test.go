package dhcpv6

import (
	"strings"
	"testing"
)

func TestStatusCode(t *testing.T) {
	checkOption(t, OptionStatusCode, ParseStatusCode, []codecCase[StatusCode]{
		{"success without text", StatusCode{}, []byte{
			0, 13, // option-code: OPTION_STATUS_CODE
			0, 2, // option-len
			0, 0, // status-code: Success
		}},
		{"refused, in UTF-8", StatusCode{Status: StatusNotConfigured, Text: "link unbekannt: ä"}, octets(
			[]byte{0, 13},                      // option-code: OPTION_STATUS_CODE
			[]byte{0, 20},                      // option-len
			[]byte{0, 9},                       // status-code: NotConfigured
			[]byte("link unbekannt: \xc3\xa4"), // status-message
		)},
		{"unknown, a text that is not UTF-8 is kept", StatusCode{Status: 0xfffe, Text: "\xff\x00"}, []byte{
			0, 13, // option-code: OPTION_STATUS_CODE
			0, 4, // option-len
			0xff, 0xfe, // status-code
			0xff, 0x00, // status-message
		}},
	})
	checkBad(t, OptionStatusCode, ParseStatusCode, []badValue{
		{name: "empty", value: nil, offset: 0, err: ErrLength},
		{name: "one octet", value: []byte{0}, offset: 1, err: ErrLength},
	})
	checkTooLong(t, StatusCode{Text: strings.Repeat("x", maxOptionValue-1)}, StatusCode{Text: strings.Repeat("x", maxOptionValue-2)})
}
