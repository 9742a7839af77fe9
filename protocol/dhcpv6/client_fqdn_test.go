package dhcpv6

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClientFQDN(t *testing.T) {
	checkOption(t, OptionClientFQDN, ParseClientFQDN, []codecCase[ClientFQDN]{
		{"no name", ClientFQDN{Flags: FQDNNoUpdates}, []byte{
			0, 39, // option-code: OPTION_CLIENT_FQDN
			0, 1, // option-len
			4, // flags: N
		}},
		{"full name", ClientFQDN{Flags: FQDNServerUpdates | FQDNOverride, Name: []byte("\x01a\x07example\x00")}, []byte{
			0, 39, // option-code: OPTION_CLIENT_FQDN
			0, 12, // option-len
			3,      // flags: S, O
			1, 'a', // label
			7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', // label
			0, // the root: the name is full
		}},
	})
	checkBad(t, OptionClientFQDN, ParseClientFQDN, []badValue{{name: "empty", value: nil, offset: 0, err: ErrLength}})
	checkTooLong(t, ClientFQDN{Name: make([]byte, maxOptionValue)}, ClientFQDN{Name: make([]byte, maxOptionValue-1)})
}

func TestNewClientFQDN(t *testing.T) {
	long := strings.Repeat("x", 63)
	for _, tc := range []struct{ name, wire string }{
		{"host", "\x04host"},
		{"host.example.", "\x04host\x07example\x00"},
		{"host.example", "\x04host\x07example"},
		{long + ".a.", "\x3f" + long + "\x01a\x00"},
		{strings.Repeat(long+".", 3) + long[:61] + ".", strings.Repeat("\x3f"+long, 3) + "\x3d" + long[:61] + "\x00"}, // 255 octets
	} {
		f, err := NewClientFQDN(FQDNServerUpdates, tc.name)
		if err != nil {
			t.Errorf("host name %q: %v", tc.name, err)
		}
		if diff := cmp.Diff(ClientFQDN{Flags: 1, Name: []byte(tc.wire)}, f); diff != "" {
			t.Errorf("host name %q (-want +got):\n%s", tc.name, diff)
		}
	}
	for _, name := range []string{"", ".", "a..b", ".a", "a..", long + "x", strings.Repeat(long+".", 3) + long[:62] + "."} {
		if f, err := NewClientFQDN(0, name); !errors.Is(err, ErrValue) || f.Name != nil {
			t.Errorf("host name %q became % x, error %v; want ErrValue", name, f.Name, err)
		}
	}
}
