package dhcpv6

import (
	"net/netip"
	"slices"
	"testing"
)

func TestLQClientLink(t *testing.T) {
	checkOption(t, OptionLQClientLink, ParseLQClientLink, []codecCase[LQClientLink]{
		{"two links", NewLQClientLink(addr("2001:db8:1::"), addr("fd00::1")), []byte{
			0, 48, // option-code: OPTION_LQ_CLIENT_LINK
			0, 32, // option-len
			0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // link-address
			0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // link-address
		}},
	})
	checkBad(t, OptionLQClientLink, ParseLQClientLink, []badValue{
		{name: "empty", value: nil, offset: 0, err: ErrLength},
		{name: "15 octets", value: make([]byte, 15), offset: 15, err: ErrLength},
		{name: "17 octets", value: make([]byte, 17), offset: 17, err: ErrLength},
	})
	checkTooLong(t, LQClientLink(make([]byte, maxOptionValue+1)), LQClientLink(make([]byte, maxOptionValue)))
}

func TestLQClientLinkLists(t *testing.T) {
	want := []netip.Addr{addr("2001:db8::"), addr("2001:db8:1::"), addr("2001:db8::")}
	l := NewLQClientLink(want...)
	if got := slices.Collect(l.Addresses()); !slices.Equal(got, want) {
		t.Errorf("addresses %v, want %v", got, want)
	}
	for a := range l.Addresses() {
		if a != want[0] {
			t.Errorf("first address %v, want %v", a, want[0])
		}
		break
	}
	if got := slices.Collect(LQClientLink(l[:31]).Addresses()); !slices.Equal(got, want[:1]) {
		t.Errorf("addresses of a list cut short: %v, want %v", got, want[:1])
	}
	if l := NewLQClientLink(make([]netip.Addr, 5000)...); l.Length() != 4+4095*16 {
		t.Errorf("a list of 5000 takes %d octets, want the 4095 that fit", l.Length())
	}
}
