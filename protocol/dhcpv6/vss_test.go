package dhcpv6

import "testing"

func TestVSS(t *testing.T) {
	checkOption(t, OptionVSS, ParseVSS, []codecCase[VSS]{
		{"global", VSS{Type: VSSGlobal}, []byte{
			0, 68, // option-code: OPTION_VSS
			0, 1, // option-len
			255, // type: global, default VPN
		}},
		{"by name", VSS{Type: 0, Info: []byte("red")}, []byte{
			0, 68, // option-code: OPTION_VSS
			0, 4, // option-len
			0,             // type: NVT ASCII VPN identifier
			'r', 'e', 'd', // VSS information
		}},
		{"by VPN-ID", VSS{Type: 1, Info: []byte{0, 0, 1, 0, 0, 0, 2}}, []byte{
			0, 68, // option-code: OPTION_VSS
			0, 8, // option-len
			1,                   // type: RFC 2685 VPN-ID
			0, 0, 1, 0, 0, 0, 2, // VSS information
		}},
	})
	checkBad(t, OptionVSS, ParseVSS, []badValue{{name: "empty", value: nil, offset: 0, err: ErrLength}})
	checkTooLong(t, VSS{Info: make([]byte, maxOptionValue)}, VSS{Info: make([]byte, maxOptionValue-1)})
}
