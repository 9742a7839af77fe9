package dhcpv6

import "testing"

func TestRemoteID(t *testing.T) {
	checkOption(t, OptionRemoteID, ParseRemoteID, []codecCase[RemoteID]{
		{"a port", RemoteID{Enterprise: 4491, ID: []byte("port 7")}, []byte{
			0, 37, // option-code: OPTION_REMOTE_ID
			0, 10, // option-len
			0x00, 0x00, 0x11, 0x8b, // enterprise-number
			'p', 'o', 'r', 't', ' ', '7', // remote-id
		}},
		{"one octet, highest enterprise", RemoteID{Enterprise: 0xffffffff, ID: []byte{0}}, []byte{
			0, 37, // option-code: OPTION_REMOTE_ID
			0, 5, // option-len
			0xff, 0xff, 0xff, 0xff, // enterprise-number
			0, // remote-id
		}},
	})
	checkBad(t, OptionRemoteID, ParseRemoteID, []badValue{
		{name: "empty", value: nil, offset: 0, err: ErrLength},
		{name: "enterprise cut short", value: []byte{0, 0, 0}, offset: 3, err: ErrLength},
		{name: "no remote-id", value: []byte{0, 0, 0, 9}, offset: 4, err: ErrLength},
	})
	checkTooLong(t, RemoteID{ID: make([]byte, maxOptionValue-3)}, RemoteID{ID: make([]byte, maxOptionValue-4)})
}
