package dhcpv6

import (
	"slices"
	"testing"
)

func TestERO(t *testing.T) {
	checkOption(t, OptionERO, ParseERO, []codecCase[ERO]{
		{"two", NewERO(OptionInterfaceID, OptionRemoteID), []byte{
			0, 43, // option-code: OPTION_ERO
			0, 4, // option-len
			0, 18, // requested-option-code-1: OPTION_INTERFACE_ID
			0, 37, // requested-option-code-2: OPTION_REMOTE_ID
		}},
	})
	checkBad(t, OptionERO, ParseERO, []badValue{
		{name: "five octets", value: make([]byte, 5), offset: 4, err: ErrLength},
	})
	checkTooLong(t, ERO(make([]byte, maxOptionValue+1)), ERO(make([]byte, maxOptionValue)))
}

func TestERONames(t *testing.T) {
	e := NewERO(OptionInterfaceID, OptionRemoteID)
	if got, want := slices.Collect(e.Codes()), []OptionCode{18, 37}; !slices.Equal(got, want) {
		t.Errorf("codes %v, want %v", got, want)
	}
	if !e.Has(OptionRemoteID) || e.Has(OptionRelayID) {
		t.Errorf("Has is wrong about %v", slices.Collect(e.Codes()))
	}
}
