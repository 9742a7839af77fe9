package dhcpv6

import (
	"slices"
	"testing"
)

func TestORO(t *testing.T) {
	checkOption(t, OptionORO, ParseORO, []codecCase[ORO]{
		{"empty", ORO{}, []byte{
			0, 6, // option-code: OPTION_ORO
			0, 0, // option-len
		}},
		{"three, one twice", NewORO(OptionLQRelayData, 0xffff, OptionLQRelayData), []byte{
			0, 6, // option-code: OPTION_ORO
			0, 6, // option-len
			0, 47, // requested-option-code-1: OPTION_LQ_RELAY_DATA
			0xff, 0xff, // requested-option-code-2
			0, 47, // requested-option-code-3: OPTION_LQ_RELAY_DATA
		}},
	})
	checkBad(t, OptionORO, ParseORO, []badValue{
		{name: "one octet", value: []byte{0}, offset: 0, err: ErrLength},
		{name: "three octets", value: []byte{0, 47, 0}, offset: 2, err: ErrLength},
	})
	checkTooLong(t, ORO(make([]byte, maxOptionValue+1)), ORO(make([]byte, maxOptionValue)))
}

func TestORONames(t *testing.T) {
	o := NewORO(OptionClientFQDN, OptionLQRelayData, OptionClientFQDN)
	if got, want := slices.Collect(o.Codes()), []OptionCode{39, 47, 39}; !slices.Equal(got, want) {
		t.Errorf("codes %v, want %v", got, want)
	}
	for code, want := range map[OptionCode]bool{39: true, 47: true, 0: false, 39 << 8: false} {
		if o.Has(code) != want {
			t.Errorf("Has(%d) is %v", code, !want)
		}
	}
	if n := testing.AllocsPerRun(20, func() { o.Has(0) }); n != 0 {
		t.Errorf("Has allocates %v times", n)
	}
	if got := slices.Collect(ORO{0, 39, 0}.Codes()); !slices.Equal(got, []OptionCode{39}) {
		t.Errorf("codes of a list cut short: %v, want the whole ones", got)
	}
}
