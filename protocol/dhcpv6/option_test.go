package dhcpv6

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pair is one option as a walk shows it.
type pair struct {
	Code  OptionCode
	Value []byte
}

func walk(o Options) []pair {
	var out []pair
	for code, value := range o.All() {
		out = append(out, pair{code, value})
	}
	return out
}

var someOptions = Options{
	0, 1, // option-code: OPTION_CLIENTID
	0, 2, // option-len
	7, 8, // DUID
	0xff, 0xfe, // option-code: an unknown one
	0, 0, // option-len
	0, 1, // option-code: OPTION_CLIENTID again
	0, 1, // option-len
	9,    // DUID
	0, 0, // option-code: reserved
	0, 3, // option-len
	0, 1, 0, // what would be the header of another, cut short
}

func TestOptionsWalk(t *testing.T) {
	want := []pair{{1, []byte{7, 8}}, {0xfffe, nil}, {1, []byte{9}}, {0, []byte{0, 1, 0}}}
	if diff := cmp.Diff(want, walk(someOptions), equate); diff != "" {
		t.Errorf("walked (-want +got):\n%s", diff)
	}
	if err := someOptions.Validate(); err != nil {
		t.Errorf("whole options: %v", err)
	}
	if err := (Options)(nil).Validate(); err != nil {
		t.Errorf("no options: %v", err)
	}
	for code := range someOptions.All() {
		if code != OptionClientID {
			t.Errorf("a walk that stops at once began with %v", code)
		}
		break
	}
}

func TestOptionsFirstAndCount(t *testing.T) {
	for _, tc := range []struct {
		code  OptionCode
		value []byte
		count int
	}{
		{OptionClientID, []byte{7, 8}, 2},
		{0xfffe, []byte{}, 1},
		{0, []byte{0, 1, 0}, 1},
		{OptionServerID, nil, 0},
		{0x0700, nil, 0},
	} {
		value, ok := someOptions.First(tc.code)
		if ok != (tc.count > 0) || !bytes.Equal(value, tc.value) {
			t.Errorf("first %v: % x, %v; want % x", tc.code, value, ok, tc.value)
		}
		if n := someOptions.Count(tc.code); n != tc.count {
			t.Errorf("%d options of code %v, want %d", n, tc.code, tc.count)
		}
	}
}

// Cut anywhere, what is whole is still walked, and Validate names the option that is not.
func TestOptionsCutShort(t *testing.T) {
	starts := map[int]OptionCode{0: 1, 6: 0xfffe, 10: 1, 15: 0}
	whole, at := -1, 0
	for n := range len(someOptions) {
		if _, boundary := starts[n]; boundary {
			whole, at = whole+1, n
		}
		cut := someOptions[:n]
		if diff := cmp.Diff(walk(someOptions)[:whole], walk(cut), equate); diff != "" {
			t.Errorf("walked of %d octets (-want +got):\n%s", n, diff)
		}
		if n == at {
			if err := cut.Validate(); err != nil {
				t.Errorf("%d octets are whole options: %v", n, err)
			}
			continue
		}
		code := starts[at]
		if n-at < 2 {
			code = optionNone
		}
		checkParseError(t, cut.Validate(), code, at, ErrTruncated)
		if starts[at] != OptionClientID { // which there are two of
			if v, ok := cut.First(starts[at]); ok || v != nil {
				t.Errorf("of %d octets, an option cut short was found", n)
			}
		}
	}
}

// What a walk hands out is the input, and appending to a value cannot reach what follows it.
func TestOptionsAreViews(t *testing.T) {
	o := Options(bytes.Clone(someOptions))
	for _, v := range o.All() {
		if cap(v) != len(v) {
			t.Errorf("a value of %d octets has room for %d", len(v), cap(v))
		}
	}
	v, _ := o.First(OptionClientID)
	if v[0] = 99; o[4] != 99 || cap(v) != len(v) {
		t.Error("the value is not a view of the options")
	}
}

func TestOptionsWalkAllocatesNothing(t *testing.T) {
	var seen int
	n := testing.AllocsPerRun(50, func() {
		for code, v := range someOptions.All() {
			seen += int(code) + len(v)
		}
		_, _ = someOptions.First(0)
		seen += someOptions.Count(1)
		if someOptions.Validate() != nil {
			seen = -1
		}
	})
	if n != 0 || seen < 0 {
		t.Errorf("walking allocates %v times", n)
	}
}

func TestAppendOption(t *testing.T) {
	got, err := AppendOption([]byte{1}, 0x1234, []byte{5, 6})
	if want := []byte{1, 0x12, 0x34, 0, 2, 5, 6}; err != nil || !bytes.Equal(got, want) {
		t.Errorf("appended % x, error %v; want % x", got, err, want)
	}
	if got, err = AppendOption([]byte{1}, 1, make([]byte, 65536)); !errors.Is(err, ErrTooLong) || !bytes.Equal(got, []byte{1}) {
		t.Errorf("a value of 65536: %d octets, error %v; want ErrTooLong and nothing appended", len(got), err)
	}
	if got, err = AppendOption(nil, 1, make([]byte, 65535)); err != nil || !bytes.Equal(got[:4], []byte{0, 1, 0xff, 0xff}) {
		t.Errorf("a value of 65535: % x..., error %v", got[:4], err)
	}
}

func TestOpenedOptionsNest(t *testing.T) {
	dst := []byte{0xee}
	dst, outer := OpenOption(dst, OptionClientData)
	dst, inner := OpenOption(dst, OptionClientID)
	dst = append(dst, 7, 8, 9)
	dst, err := CloseOption(dst, inner)
	if err != nil {
		t.Fatalf("close the inner option: %v", err)
	}
	dst, _ = CLTTime(1).AppendBinary(dst)
	if dst, err = CloseOption(dst, outer); err != nil {
		t.Fatalf("close the outer option: %v", err)
	}
	want := []byte{
		0xee,  // what was there
		0, 45, // option-code: OPTION_CLIENT_DATA
		0, 15, // option-len
		0, 1, // option-code: OPTION_CLIENTID
		0, 3, // option-len
		7, 8, 9, // DUID
		0, 46, // option-code: OPTION_CLT_TIME
		0, 4, // option-len
		0, 0, 0, 1, // client-last-transaction-time
	}
	if diff := cmp.Diff(want, dst); diff != "" {
		t.Errorf("nested options (-want +got):\n%s", diff)
	}
}

func TestCloseOptionAtTheLimit(t *testing.T) {
	for _, tc := range []struct {
		n    int
		want error
	}{{0, nil}, {255, nil}, {256, nil}, {65535, nil}, {65536, ErrTooLong}, {70000, ErrTooLong}} {
		dst, mark := OpenOption([]byte("front"), 0xabcd)
		dst, err := CloseOption(append(dst, make([]byte, tc.n)...), mark)
		if !errors.Is(err, tc.want) {
			t.Fatalf("a value of %d octets: error %v, want %v", tc.n, err, tc.want)
		}
		if err != nil {
			if string(dst) != "front" {
				t.Errorf("a value of %d octets left %d octets", tc.n, len(dst))
			}
			continue
		}
		want, _ := AppendOption([]byte("front"), 0xabcd, make([]byte, tc.n))
		if !bytes.Equal(dst, want) {
			t.Errorf("a value of %d octets: header % x, want % x", tc.n, dst[5:9], want[5:9])
		}
	}
}
