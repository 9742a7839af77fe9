package dhcpv6

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
)

func TestIAPrefix(t *testing.T) {
	lone := []byte{
		0, 26, // option-code: OPTION_IAPREFIX
		0, 25, // option-len
		0x00, 0x00, 0x0e, 0x10, // preferred-lifetime
		0x00, 0x00, 0x1c, 0x20, // valid-lifetime
		56,                                                         // prefix-length
		0x20, 0x01, 0x0d, 0xb8, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, // IPv6-prefix
	}
	checkOption(t, OptionIAPrefix, ParseIAPrefix, []codecCase[IAPrefix]{
		{"lone", IAPrefix{Preferred: 3600, Valid: 7200, Prefix: netip.MustParsePrefix("2001:db8:1:200::/56")}, lone},
		{"everything", IAPrefix{Prefix: netip.MustParsePrefix("::/0")}, octets(
			[]byte{0, 26, 0, 25}, // option-code, option-len
			make([]byte, 25),     // lifetimes, prefix-length, IPv6-prefix
		)},
		{"bits behind the length, infinite, with options", IAPrefix{
			Preferred: 0xffffffff, Valid: 0xffffffff, Prefix: netip.PrefixFrom(addr("2001:db8::1"), 127),
			Options: options(t, ClientID{9}, ClientID{9}),
		}, []byte{
			0, 26, // option-code: OPTION_IAPREFIX
			0, 35, // option-len
			0xff, 0xff, 0xff, 0xff, // preferred-lifetime: infinity
			0xff, 0xff, 0xff, 0xff, // valid-lifetime: infinity
			127,                                                        // prefix-length
			0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // IPv6-prefix
			0, 1, 0, 1, 9, // IAprefix-options: the same one
			0, 1, 0, 1, 9, // twice
		}},
	})
	long := bytes.Clone(lone[4:])
	long[8] = 129
	checkBad(t, OptionIAPrefix, ParseIAPrefix, []badValue{
		{name: "empty", value: nil, offset: 0, err: ErrLength},
		{name: "one octet short", value: lone[4:28], offset: 24, err: ErrLength},
		{name: "length 129", value: long, offset: 8, err: ErrValue},
		{name: "three octets behind", value: octets(lone[4:], []byte{0, 1, 0}), offset: 25, err: ErrTruncated, within: OptionClientID},
	})
	some := netip.MustParsePrefix("2001:db8::/32")
	checkTooLong(t, IAPrefix{Prefix: some, Options: make([]byte, maxOptionValue-24)}, IAPrefix{Prefix: some, Options: make([]byte, maxOptionValue-25)})
}

func TestIAPrefixOfAnotherKindIsRefused(t *testing.T) {
	for _, p := range []netip.Prefix{{}, netip.MustParsePrefix("192.0.2.0/24"), netip.PrefixFrom(addr("2001:db8::"), 129)} {
		front := []byte("front")
		if got, err := (IAPrefix{Prefix: p}).AppendBinary(front); !errors.Is(err, ErrValue) || !bytes.Equal(got, front) {
			t.Errorf("prefix %v: % x, error %v; want ErrValue and nothing appended", p, got, err)
		}
	}
}
