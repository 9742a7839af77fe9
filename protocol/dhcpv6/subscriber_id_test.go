package dhcpv6

import "testing"

func TestSubscriberID(t *testing.T) {
	checkOption(t, OptionSubscriberID, ParseSubscriberID, []codecCase[SubscriberID]{
		{"empty", nil, []byte{
			0, 38, // option-code: OPTION_SUBSCRIBER_ID
			0, 0, // option-len
		}},
		{"octets that are no text", SubscriberID{0xff, 0, 0x80}, []byte{
			0, 38, // option-code: OPTION_SUBSCRIBER_ID
			0, 3, // option-len
			0xff, 0, 0x80, // subscriber-id
		}},
	})
	checkTooLong(t, SubscriberID(make([]byte, maxOptionValue+1)), SubscriberID(make([]byte, maxOptionValue)))
}
