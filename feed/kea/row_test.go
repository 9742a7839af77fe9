package kea

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

const sampleHeader = "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state," +
	"user_context,hwtype,hwaddr_source,pool_id\n"

// sampleRow is a line of a sound lease, with some columns changed.
func sampleRow(changed map[string]string) string {
	fields := strings.Split("2001:db8::1,00:03:00:01:02:00:5e:10:20:30,7200,1795432156,1,3600,0,7,128,0,0,,02:00:5e:10:20:30,0,,1,8,0", ",")
	for i, name := range strings.Split(strings.TrimSpace(sampleHeader), ",") {
		if v, ok := changed[name]; ok {
			fields[i] = v
			delete(changed, name)
		}
	}
	if len(changed) > 0 {
		panic(fmt.Sprint("unknown columns ", changed))
	}
	return strings.Join(fields, ",") + "\n"
}

// readText reads a lease file's text; reports are what was said of its lines.
func readText(t *testing.T, text string, now time.Time) (*recorder, Totals, []*LineError) {
	t.Helper()
	var reports []*LineError
	path := writeFile(t, "kea-leases6.csv", text)
	got, totals := read(t, Config{Files: []string{path}, Report: func(e *LineError) { reports = append(reports, e) }}, now)
	for _, e := range reports {
		if e.File != path {
			t.Errorf("%v is said of file %s, want %s", e, e.File, path)
		}
	}
	return got, totals, reports
}

func TestBadFieldCostsItsLine(t *testing.T) {
	long := strings.Repeat("ab:", 130) + "ab"
	for _, tc := range []struct {
		field, value string
		want         error
	}{
		{"address", "", ErrAddress}, {"address", "2001:db8::g", ErrAddress}, {"address", "192.0.2.1", ErrAddress}, {"address", "::", ErrAddress},
		{"address", "fe80::1", ErrAddress}, {"address", "ff02::1", ErrAddress}, {"address", "fe80::1%eth0", ErrAddress}, {"address", "::ffff:192.0.2.1", ErrAddress},
		{"address", "2001:db8:1000::772001:db8:1000::100d", ErrAddress}, {"address", strings.Repeat("1:", 200), ErrAddress},
		{"duid", "", ErrDUID}, {"duid", "00", ErrDUID}, {"duid", "00:00:00", ErrDUID}, {"duid", "0", ErrDUID}, {"duid", "00:1", ErrDUID}, {"duid", "00:01:", ErrDUID},
		{"duid", "00-01-02", ErrDUID}, {"duid", "00:0g", ErrDUID}, {"duid", long, ErrDUID}, {"duid", "00:01:2a2001:db8", ErrDUID},
		{"valid_lifetime", "", ErrNumber}, {"valid_lifetime", "-1", ErrNumber}, {"valid_lifetime", "4294967296", ErrNumber}, {"valid_lifetime", "1e3", ErrNumber},
		{"expire", "", ErrNumber}, {"expire", "9223372036854775808", ErrNumber}, {"expire", "99999999999999999999999", ErrNumber}, {"expire", "7199", ErrNumber},
		{"expire", "9223372036854775807", ErrNumber}, {"expire", "8589934591", ErrNumber}, {"expire", "4294974496", ErrNumber},
		{"subnet_id", "x", ErrNumber}, {"pref_lifetime", " 1", ErrNumber}, {"lease_type", "3", ErrNumber}, {"iaid", "-1", ErrNumber}, {"iaid", "4294967296", ErrNumber},
		{"prefix_len", "129", ErrNumber}, {"fqdn_fwd", "2", ErrNumber}, {"fqdn_rev", "true", ErrNumber}, {"state", "5", ErrNumber},
		{"hostname", "a&#x2", ErrEscape}, {"hostname", "a&b", ErrEscape}, {"hostname", "&#xzz", ErrEscape},
		{"user_context", "{", errJSON}, {"user_context", "{}x", errJSON}, {"user_context", "[]", errJSON}, {"user_context", `{ "ISC": { "relay-info": [ { "hop": 0`, errJSON},
		{"user_context", `{"a":1&#x2c}`, errJSON}, {"user_context", `{"a":&}`, ErrEscape}, {"user_context", strings.Repeat(`{"a":`, 200), errJSON},
	} {
		t.Run(tc.field+"="+tc.value[:min(20, len(tc.value))], func(t *testing.T) {
			good := sampleRow(map[string]string{"address": "2001:db8::2"})
			bad := sampleRow(map[string]string{tc.field: tc.value})
			got, totals, reports := readText(t, sampleHeader+good+bad+good, time.Unix(0, 0))
			if len(got.leases) != 1 || totals.Rows != 3 || totals.Skipped != 1 || totals.Leases != 1 {
				t.Errorf("%d leases, totals %+v", len(got.leases), totals)
			}
			if len(reports) != 1 {
				t.Fatalf("reports %v", reports)
			}
			e := reports[0]
			if e.Line != 3 || e.Field != tc.field || e.Kept || !errors.Is(e, tc.want) {
				t.Errorf("report %v (line %d, field %q), want line 3, field %q, %v", e, e.Line, e.Field, tc.field, tc.want)
			}
		})
	}
}

func TestDelegatedPrefixWithHostBits(t *testing.T) {
	row := sampleRow(map[string]string{"address": "2001:db8:1::", "lease_type": "2", "prefix_len": "40"})
	_, totals, reports := readText(t, sampleHeader+row, time.Unix(0, 0))
	if totals.Skipped != 1 || len(reports) != 1 || reports[0].Field != "prefix_len" || !errors.Is(reports[0], ErrHostBits) {
		t.Errorf("totals %+v, reports %v", totals, reports)
	}
}

func TestTornLines(t *testing.T) {
	one, two := sampleRow(nil), sampleRow(map[string]string{"address": "2001:db8::2"})
	for name, tc := range map[string]struct {
		text             string
		leases           int
		skipped, partial uint64
		line             int
		want             error
	}{
		"glued":              {one + "2001:db8::77,00:01:00:01:2a" + two, 1, 1, 0, 3, ErrColumns},
		"too few columns":    {one + "2001:db8::77,00:01\n", 1, 1, 0, 3, ErrColumns},
		"too many columns":   {one + strings.TrimSuffix(two, "\n") + ",\n", 1, 1, 0, 3, ErrColumns},
		"partial last":       {one + two[:len(two)-1], 1, 0, 1, 3, ErrTorn},
		"partial in address": {one + "2001", 1, 0, 1, 3, ErrTorn},
		"too long":           {one + strings.Repeat("x", 3*maxLine) + "\n" + two, 2, 1, 0, 3, ErrTooLong},
		"too long, torn":     {one + strings.Repeat("x", 3*maxLine), 1, 1, 0, 3, ErrTooLong},
	} {
		t.Run(name, func(t *testing.T) {
			got, totals, reports := readText(t, sampleHeader+tc.text, time.Unix(0, 0))
			if len(got.leases) != tc.leases || totals.Skipped != tc.skipped || totals.Partial != tc.partial {
				t.Errorf("%d leases, totals %+v", len(got.leases), totals)
			}
			if len(reports) != 1 || reports[0].Line != tc.line || !errors.Is(reports[0], tc.want) {
				t.Errorf("reports %v, want %v in line %d", reports, tc.want, tc.line)
			}
		})
	}
}

func TestWhatEndsALease(t *testing.T) {
	lease := sampleRow(nil)
	for name, ending := range map[string]map[string]string{
		"removed":          {"valid_lifetime": "0", "pref_lifetime": "0", "expire": "1795424956"},
		"declined, 2.2":    {"state": "1", "duid": "00", "valid_lifetime": "600"},
		"declined, 3.3":    {"state": "1", "duid": "00:00:00", "valid_lifetime": "600"},
		"reclaimed":        {"state": "2"},
		"released, 3.3":    {"state": "3", "valid_lifetime": "0"},
		"flushed":          {"state": "2", "valid_lifetime": "0", "expire": "0"},
		"registered":       {"state": "4", "valid_lifetime": "2400"},
		"removed, no duid": {"valid_lifetime": "0", "duid": "00:00:00"},
	} {
		t.Run(name, func(t *testing.T) {
			got, totals, reports := readText(t, sampleHeader+lease+sampleRow(ending), time.Unix(0, 0))
			if len(got.leases) != 0 || totals.Ended != 1 || totals.Superseded != 1 || len(reports) > 0 {
				t.Errorf("%d leases, totals %+v, reports %v", len(got.leases), totals, reports)
			}
			got, _, _ = readText(t, sampleHeader+lease+sampleRow(ending)+lease, time.Unix(0, 0))
			if len(got.leases) != 1 {
				t.Errorf("leased again: %d leases", len(got.leases))
			}
		})
	}
}

func TestBadLaterLineDoesNotSupersede(t *testing.T) {
	got, _, _ := readText(t, sampleHeader+sampleRow(nil)+sampleRow(map[string]string{"iaid": "x"}), time.Unix(0, 0))
	if len(got.leases) != 1 || got.leases[0].GetIaid() != 7 {
		t.Errorf("leases %v", got.leases)
	}
}

func TestTimes(t *testing.T) {
	const expire, valid = 1795432156, 7200
	infinite := sampleRow(map[string]string{"address": "2001:db8::f", "valid_lifetime": "4294967295", "expire": "6090391629", "pref_lifetime": "4294967295"})
	text := sampleHeader + sampleRow(nil) + infinite
	got, totals, _ := readText(t, text, time.UnixMilli(expire*1000-1))
	if len(got.leases) != 2 || got.leases[0].GetAgeMs() != valid*1000-1 || got.leases[0].GetStamp() != expire-valid {
		t.Errorf("leases %v", got.leases)
	}
	if l := got.leases[1]; l.GetStamp() != 6090391629-4294967295 || l.GetValid() != 4294967295 {
		t.Errorf("infinite lease %v", l)
	}
	if totals.Newest != max(expire-valid, 6090391629-4294967295) {
		t.Errorf("newest transaction %d", totals.Newest)
	}
	got, totals, _ = readText(t, text, time.UnixMilli(expire*1000))
	if len(got.leases) != 1 || totals.Expired != 1 {
		t.Errorf("a lease that has run out is stated: %v, totals %+v", got.leases, totals)
	}
}

func TestShiftTimes(t *testing.T) {
	now := time.Now()
	older := sampleRow(map[string]string{"address": "2001:db8::2", "expire": "1795431156"})   // 1000 s older, runs out in 6200 s
	overdue := sampleRow(map[string]string{"address": "2001:db8::3", "expire": "1795424000"}) // had run out before the newest
	path := writeFile(t, "kea-leases6.csv", sampleHeader+sampleRow(nil)+older+overdue)
	got, totals := read(t, Config{Files: []string{path}, ShiftTimes: true}, now)
	leases := byAddress(t, got.leases)
	if len(leases) != 2 || totals.Expired != 1 {
		t.Fatalf("leases %v, totals %+v", leases, totals)
	}
	for address, seconds := range map[string]int64{"2001:db8::1": 0, "2001:db8::2": 1000} {
		l := leases[address]
		if age := l.GetAgeMs(); age < seconds*1000-1000 || age > seconds*1000+1000 {
			t.Errorf("%s has an age of %d ms, want about %d s", address, age, seconds)
		}
		if l.GetStamp() != uint32(now.Unix()-seconds) && l.GetStamp() != uint32(now.Unix()+1-seconds) {
			t.Errorf("%s has the stamp %d, want %d", address, l.GetStamp(), now.Unix()-seconds)
		}
	}
}

func TestHostNames(t *testing.T) {
	for _, tc := range []struct {
		name, forward, reverse string
		want                   []byte // OPTION_CLIENT_FQDN's value; nil for none
		problem                bool
	}{
		{"", "1", "1", nil, false},
		{"a.example.", "0", "0", []byte("\x04\x01a\x07example\x00"), false},
		{"a.example.", "1", "1", []byte("\x01\x01a\x07example\x00"), false},
		{"a.example.", "0", "1", []byte("\x00\x01a\x07example\x00"), false},
		{"a.example.", "1", "0", []byte("\x01\x01a\x07example\x00"), false}, // only an operator can have written this; N may not stand beside S
		{"host", "1", "1", []byte("\x01\x04host"), false},
		{"h&#x2co", "1", "1", []byte("\x01\x03h,o"), false},
		{"&#xc3&#xa9", "1", "1", []byte("\x01\x02\xc3\xa9"), false},
		{"a..b", "1", "1", nil, true},
		{strings.Repeat("x", 64), "1", "1", nil, true},
		{strings.Repeat("abcdefg.", 40), "1", "1", nil, true},
	} {
		row := sampleRow(map[string]string{"hostname": tc.name, "fqdn_fwd": tc.forward, "fqdn_rev": tc.reverse})
		got, totals, reports := readText(t, sampleHeader+row, time.Unix(0, 0))
		if len(got.leases) != 1 {
			t.Fatalf("%q: no lease", tc.name)
		}
		value, _ := dhcpv6.Options(got.leases[0].GetOptions()).First(dhcpv6.OptionClientFQDN)
		if diff := cmp.Diff(tc.want, value); diff != "" {
			t.Errorf("%q fwd %s rev %s (-want +got):\n%s", tc.name, tc.forward, tc.reverse, diff)
		}
		if bad := totals.WithoutName == 1 && len(reports) == 1 && reports[0].Kept && reports[0].Field == "hostname"; bad != tc.problem {
			t.Errorf("%q: totals %+v, reports %v", tc.name, totals, reports)
		}
	}
}

func TestHeaders(t *testing.T) {
	row := sampleRow(nil)
	for name, tc := range map[string]struct {
		text string
		ok   bool
	}{
		"oldest, 12 columns":  {strings.Join(strings.Split(sampleHeader, ",")[:12], ",") + "\n" + strings.Join(strings.Split(row, ",")[:12], ",") + "\n", true},
		"unknown columns":     {"zzz," + sampleHeader + "9," + row, true},
		"line ends of others": {strings.ReplaceAll(sampleHeader+row, "\n", "\r\n"), true},
		"blank lines":         {sampleHeader + "\n" + row + "\n", true},
		"a DHCPv4 file":       {"address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id\n", false},
		"a column twice":      {"iaid," + sampleHeader, false},
		"too many columns":    {strings.Repeat("x,", 100) + sampleHeader, false},
		"too long":            {strings.Repeat("x", 2*maxLine) + "\n", false},
		"no header":           {row, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, "kea-leases6.csv", tc.text)
			got, _, err := tryRead(t, Config{Files: []string{path}}, time.Unix(0, 0))
			if tc.ok {
				if err != nil || len(got.leases) != 1 {
					t.Errorf("error %v, %d leases", err, len(got.leases))
				}
				return
			}
			var line *LineError
			if !errors.As(err, &line) || line.File != path || line.Line != 1 || len(got.steps) > 0 {
				t.Errorf("error %v, steps %v", err, got.steps)
			}
		})
	}
}

func TestFileThatKeaHasJustMade(t *testing.T) {
	got, totals, _ := readText(t, sampleHeader, time.Unix(0, 0))
	if !slices.Equal(got.steps, []string{"begin", "end"}) || totals.Rows > 0 {
		t.Errorf("steps %v, totals %+v", got.steps, totals)
	}
	for _, text := range []string{"", sampleHeader[:20]} { // not that there are no leases
		got, _, err := tryRead(t, Config{Files: []string{writeFile(t, "kea-leases6.csv", text)}}, time.Unix(0, 0))
		if !errors.Is(err, ErrHeader) || len(got.steps) > 0 {
			t.Errorf("%q: steps %v, error %v", text, got.steps, err)
		}
	}
}

func TestNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.csv")
	if _, _, err := tryRead(t, Config{Files: []string{path}}, time.Now()); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	if _, err := NewMemfile(Config{}); !errors.Is(err, ErrConfig) {
		t.Errorf("error %v", err)
	}
}

func TestSeveralFilesAreOneResync(t *testing.T) {
	one := writeFile(t, "a.csv", sampleHeader+sampleRow(nil)+sampleRow(map[string]string{"address": "2001:db8::2"}))
	two := writeFile(t, "b.csv", sampleHeader+sampleRow(map[string]string{"iaid": "9"}))
	got, totals := read(t, Config{Files: []string{one, two}}, time.Unix(0, 0))
	leases := byAddress(t, got.leases)
	if len(leases) != 2 || leases["2001:db8::1"].GetIaid() != 9 || totals.Files != 2 || len(got.steps) != 2 {
		t.Errorf("leases %v, totals %+v, steps %v", leases, totals, got.steps)
	}
}
