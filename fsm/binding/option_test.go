package binding

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestOptions(t *testing.T) {
	for _, tc := range []struct {
		octets []byte
		want   string
		err    string
	}{
		{nil, "", ""},
		{options(1, "ab"), "1=ab ", ""},
		{options(1, "ab", 18, "", 1, "c"), "1=ab 18= 1=c ", ""},
		{append(options(7, "x"), 0xff, 0xfe, 0, 1, 'y'), "7=x 65534=y ", ""},
		{append(options(1, "ab"), 0), "1=ab ", "option header cut short at offset 6"},
		{append(options(1, "ab"), 0, 2, 0), "1=ab ", "option header cut short at offset 6"},
		{append(options(1, "ab"), 0, 2, 0, 3, 'x', 'y'), "1=ab ", "option 2 at offset 6 has 2 octets of 3"},
		{[]byte{0, 1, 0xff, 0xff}, "", "option 1 at offset 0 has 0 octets of 65535"},
	} {
		var got strings.Builder
		for code, value := range Options(tc.octets) {
			fmt.Fprintf(&got, "%d=%s ", code, value)
		}
		if got.String() != tc.want {
			t.Errorf("options %x: %s, want %s", tc.octets, got.String(), tc.want)
		}
		err := validateOptions(tc.octets)
		if tc.err == "" && err != nil || tc.err != "" && (!errors.Is(err, ErrInvalid) || !strings.HasSuffix(err.Error(), tc.err)) {
			t.Errorf("options %x: error %v, want %q", tc.octets, err, tc.err)
		}
	}
	for code := range Options(options(1, "", 2, "", 3, "")) {
		if code == 2 {
			break
		}
		if code == 3 {
			t.Error("went on after the break")
		}
	}
}

func FuzzOptions(f *testing.F) {
	f.Add(options(1, "ab", 18, ""))
	f.Add([]byte{0, 1, 0, 9, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		used := 0
		for _, v := range Options(b) {
			used += 4 + len(v)
		}
		if err := validateOptions(b); (err == nil) != (used == len(b)) {
			t.Fatalf("%d octets of %d are options, error %v", used, len(b), err)
		}
	})
}
