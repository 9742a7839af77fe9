package dhcpv6

import (
	"errors"
	"testing"
)

func TestParseErrorNamesOptionAndOffset(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
	}{
		{parseError(OptionLQQuery, 20, ErrLength), "dhcpv6: OPTION_LQ_QUERY at offset 20: wrong length"},
		{parseError(OptionCode(500), 4, ErrTruncated), "dhcpv6: option 500 at offset 4: cut short"},
		{parseError(optionNone, 3, ErrTruncated), "dhcpv6: message at offset 3: cut short"},
		{parseError(OptionIAPrefix, 8, ErrValue), "dhcpv6: OPTION_IAPREFIX at offset 8: impossible value"},
		{parseError(OptionRelayMessage, 38, ErrTooDeep), "dhcpv6: OPTION_RELAY_MSG at offset 38: too many relays"},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("error %q, want %q", got, tc.want)
		}
	}
	if err := parseError(OptionORO, 1, ErrLength); !errors.Is(err, ErrLength) || errors.Is(err, ErrTruncated) {
		t.Errorf("%v wraps the wrong sentinel", err)
	}
}
