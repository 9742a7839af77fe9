package dhcpv6

import (
	"bytes"
	"encoding"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// option is what every typed option offers.
type option interface {
	encoding.BinaryAppender
	Length() int
}

// codecCase is an option's value and the octets of the whole option, header included.
type codecCase[T option] struct {
	name  string
	value T
	wire  []byte
}

// badValue is a value that an option's parser refuses, and how.
type badValue struct {
	name     string
	value    []byte
	offset   int
	err      error
	within   OptionCode // the option that is named; 0: the one that is parsed
	headless bool       // no option is named: no code is there to read
}

// equate makes empty and nil slices equal and compares addresses by value.
var equate = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})}

// checkOption proves a typed option: exact octets both ways, its length, what is in front kept, every prefix refused or read as
// what it is, nothing allocated.
func checkOption[T option](t *testing.T, code OptionCode, parse func([]byte) (T, error), cases []codecCase[T]) {
	t.Helper()
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			checkAppend(t, tc)
			value, ok := Options(tc.wire).First(code)
			if !ok || len(value) != len(tc.wire)-optionHeaderOctets {
				t.Fatalf("the octets are not one %v: % x", code, tc.wire)
			}
			got, err := parse(value)
			if err != nil {
				t.Fatalf("parse % x: %v", value, err)
			}
			if diff := cmp.Diff(tc.value, got, equate); diff != "" {
				t.Errorf("parsed (-want +got):\n%s", diff)
			}
			checkPrefixes(t, code, parse, tc.wire)
		})
	}
}

func checkAppend[T option](t *testing.T, tc codecCase[T]) {
	t.Helper()
	front := []byte("front")
	got, err := tc.value.AppendBinary(bytes.Clone(front))
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	if diff := cmp.Diff(append(bytes.Clone(front), tc.wire...), got); diff != "" {
		t.Errorf("appended octets (-want +got):\n%s", diff)
	}
	if tc.value.Length() != len(tc.wire) {
		t.Errorf("Length is %d, the option has %d octets", tc.value.Length(), len(tc.wire))
	}
	buf := make([]byte, 0, len(tc.wire))
	if n := testing.AllocsPerRun(20, func() { _, _ = tc.value.AppendBinary(buf) }); n != 0 {
		t.Errorf("appending allocates %v times", n)
	}
}

// checkPrefixes cuts an option at every octet: its framing must be refused, and each beginning of its value must be refused,
// with this code and an offset within it, or be read as just those octets.
func checkPrefixes[T option](t *testing.T, code OptionCode, parse func([]byte) (T, error), wire []byte) {
	t.Helper()
	for n := 1; n < len(wire); n++ {
		wantCode := code
		if n < 2 {
			wantCode = optionNone
		}
		checkParseError(t, Options(wire[:n]).Validate(), wantCode, 0, ErrTruncated)
	}
	for n := range len(wire) - optionHeaderOctets {
		cut := wire[optionHeaderOctets : optionHeaderOctets+n]
		got, err := parse(cut)
		if err != nil {
			var e *ParseError
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > n {
				t.Errorf("the first %d octets of the value: error %#v is not a *ParseError with an offset within them", n, err)
			}
			continue
		}
		again, err := got.AppendBinary(nil)
		want, _ := AppendOption(nil, code, cut) // a part of an option is not too long
		if err != nil || !bytes.Equal(again, want) {
			t.Errorf("the first %d octets of the value were read as % x (%v), want % x", n, again, err, want)
		}
	}
}

// checkBad proves that a parser refuses values, naming option and offset.
func checkBad[T option](t *testing.T, code OptionCode, parse func([]byte) (T, error), bad []badValue) {
	t.Helper()
	for _, tc := range bad {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parse(tc.value)
			within := code
			if tc.within != 0 || tc.headless {
				within = tc.within
			}
			checkParseError(t, err, within, tc.offset, tc.err)
			var none T
			if diff := cmp.Diff(none, got, equate); diff != "" {
				t.Errorf("a refused value was returned (-none +got):\n%s", diff)
			}
		})
	}
}

// checkTooLong proves that a value which does not fit an option is refused and nothing is appended, and that one octet less fits.
func checkTooLong(t *testing.T, tooLong, fits option) {
	t.Helper()
	front := []byte("front")
	if got, err := tooLong.AppendBinary(front); !errors.Is(err, ErrTooLong) || !bytes.Equal(got, front) {
		t.Errorf("an option of %d octets: %d octets, error %v; want ErrTooLong and nothing appended", tooLong.Length(), len(got), err)
	}
	got, err := fits.AppendBinary(nil)
	if err != nil || len(got) != optionHeaderOctets+maxOptionValue || len(got) != fits.Length() {
		t.Errorf("an option of %d octets: %d octets, error %v; want it whole", fits.Length(), len(got), err)
	}
	if err := Options(got).Validate(); err != nil {
		t.Errorf("the longest option is not framed: %v", err)
	}
}

func checkParseError(t *testing.T, err error, code OptionCode, offset int, want error) {
	t.Helper()
	var e *ParseError
	if !errors.As(err, &e) {
		t.Errorf("error %v, want a *ParseError", err)
		return
	}
	if e.Option != code || e.Offset != offset || !errors.Is(err, want) {
		t.Errorf("error %q of option %d at %d, want %q of option %d at %d", e.Err, e.Option, e.Offset, want, code, offset)
	}
}

// options joins the octets of several options.
func options(t testing.TB, all ...encoding.BinaryAppender) Options {
	t.Helper()
	var out []byte
	for _, o := range all {
		b, err := o.AppendBinary(out)
		if err != nil {
			t.Fatalf("append %T: %v", o, err)
		}
		out = b
	}
	return out
}

// octets joins pieces of a message, one field each.
func octets(fields ...[]byte) []byte { return bytes.Join(fields, nil) }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }
