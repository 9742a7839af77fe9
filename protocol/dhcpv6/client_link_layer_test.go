package dhcpv6

import "testing"

func TestClientLinkLayer(t *testing.T) {
	checkOption(t, OptionClientLinkLayer, ParseClientLinkLayer, []codecCase[ClientLinkLayer]{
		{"Ethernet", ClientLinkLayer{Type: 1, Address: []byte{2, 0, 0, 0, 0xab, 0xcd}}, []byte{
			0, 79, // option-code: OPTION_CLIENT_LINKLAYER_ADDR
			0, 8, // option-len
			0, 1, // link-layer type: Ethernet
			2, 0, 0, 0, 0xab, 0xcd, // link-layer address
		}},
		{"no address, high type", ClientLinkLayer{Type: 0x0102}, []byte{
			0, 79, // option-code: OPTION_CLIENT_LINKLAYER_ADDR
			0, 2, // option-len
			1, 2, // link-layer type
		}},
	})
	checkBad(t, OptionClientLinkLayer, ParseClientLinkLayer, []badValue{
		{name: "empty", value: nil, offset: 0, err: ErrLength},
		{name: "type cut short", value: []byte{0}, offset: 1, err: ErrLength},
	})
	checkTooLong(t, ClientLinkLayer{Address: make([]byte, maxOptionValue-1)}, ClientLinkLayer{Address: make([]byte, maxOptionValue-2)})
}
