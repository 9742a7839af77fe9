package kea

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// sampleSets are the lease files of the recordings, with all of their lines and of any mode of HA: a pair of HA shares no file, and
// what a server has got from its partner is written as any other lease.
var sampleSets = []struct {
	path   string
	leases int // in force when nothing has run out yet
}{
	{"testdata/kea-2.2/kea-leases6.csv", 520},
	{"testdata/kea-3.3/kea-leases6.csv", 520},
	{"testdata/kea-2.2/rotated/kea-leases6.csv", 40},
}

var keaEscape = regexp.MustCompile(`&#x[0-9a-f]{2}`)

func unescapeAlone(text string) string {
	return keaEscape.ReplaceAllStringFunc(text, func(e string) string {
		b, _ := strconv.ParseUint(e[3:], 16, 8)
		return string([]byte{byte(b)})
	})
}

// csvLeases reads lease files one after the other, as an independent reader would: it shares nothing with the readers of this
// package. The leases are those in force at a time.
func csvLeases(t *testing.T, now time.Time, paths ...string) map[string]*ingestv1.Lease {
	t.Helper()
	out := map[string]*ingestv1.Lease{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		names := strings.Split(lines[0], ",")
		for _, line := range lines[1:] {
			values := strings.Split(line, ",")
			if len(values) != len(names) {
				t.Fatalf("%s: %d values of %d columns", path, len(values), len(names))
			}
			fields := map[string]string{}
			for i, name := range names {
				fields[name] = values[i]
			}
			delete(out, fields["address"])
			if l := csvLease(t, fields); l.State == 0 && l.Valid > 0 && l.CLTT+int64(l.Valid) > now.Unix() {
				out[l.Address] = l.lease(t, now)
			}
		}
	}
	return out
}

func csvLease(t *testing.T, fields map[string]string) *pageLease {
	t.Helper()
	number := func(name string) int64 {
		v, err := strconv.ParseInt(fields[name], 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return v
	}
	l := &pageLease{
		CLTT: number("expire") - number("valid_lifetime"), DUID: fields["duid"], FQDNForward: number("fqdn_fwd") == 1, FQDNReverse: number("fqdn_rev") == 1,
		Hostname: unescapeAlone(fields["hostname"]), IAID: uint32(number("iaid")), Address: fields["address"], Preferred: uint32(number("pref_lifetime")),
		PrefixLen: uint32(number("prefix_len")), State: int(number("state")), SubnetID: uint32(number("subnet_id")), Valid: uint32(number("valid_lifetime")),
		Type: []string{"IA_NA", "IA_TA", "IA_PD"}[number("lease_type")],
	}
	if text := unescapeAlone(fields["user_context"]); text != "" {
		if err := json.Unmarshal([]byte(text), &l.Context); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return l
}

// moments are times at which leases of a recording have run out: none, each quarter of them, all but the infinite ones.
func moments(t *testing.T, leases map[string]*ingestv1.Lease) []time.Time {
	t.Helper()
	first, last := int64(1<<40), int64(0)
	for _, l := range leases {
		end := int64(l.GetStamp()) + int64(l.GetValid())
		if l.GetValid() != 1<<32-1 {
			first, last = min(first, end), max(last, end)
		}
	}
	out := []time.Time{time.Unix(0, 0)}
	for i := range int64(5) {
		out = append(out, time.Unix(first+(last-first)*i/4, 0))
	}
	return out
}

// TestEverySampleIsWhatAnIndependentReaderFinds: all lines of all recorded lease files, and their first lines as if Kea had not
// written the others yet, at several times.
func TestEverySampleIsWhatAnIndependentReaderFinds(t *testing.T) {
	for _, s := range sampleSets {
		t.Run(s.path, func(t *testing.T) {
			whole := csvLeases(t, time.Unix(0, 0), s.path+".2", s.path+".1", s.path)
			if len(whole) != s.leases {
				t.Errorf("an independent reader finds %d leases, want %d", len(whole), s.leases)
			}
			for _, now := range moments(t, whole) {
				got, totals := read(t, Config{Files: []string{s.path}}, now)
				diffLeases(t, csvLeases(t, now, s.path+".2", s.path+".1", s.path), byAddress(t, got.leases))
				if totals.Skipped+totals.Partial+totals.WithoutName+totals.WithoutRelays > 0 {
					t.Errorf("totals %+v", totals)
				}
			}
			text, err := os.ReadFile(s.path)
			if err != nil {
				t.Fatal(err)
			}
			for n := 1; n <= strings.Count(string(text), "\n"); n += 113 {
				path := firstLines(t, s.path, n)
				got, _ := read(t, Config{Files: []string{path}}, time.Unix(0, 0))
				diffLeases(t, csvLeases(t, time.Unix(0, 0), path), byAddress(t, got.leases))
			}
		})
	}
}

// TestFollowedSampleIsWhatAnIndependentReaderFinds appends the recorded lines to a file that is followed, three at a time.
func TestFollowedSampleIsWhatAnIndependentReaderFinds(t *testing.T) {
	for _, s := range sampleSets {
		t.Run(s.path, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "kea-leases6.csv")
			for _, suffix := range []string{".2", ".1"} {
				if older, err := os.ReadFile(s.path + suffix); err == nil {
					appendText(t, path+suffix, string(older))
				}
			}
			text, err := os.ReadFile(s.path)
			if err != nil {
				t.Fatal(err)
			}
			var script []func() error
			for line := range strings.Lines(string(text)) {
				script = append(script, func() error { appendText(t, path, line); return nil })
			}
			script[0]()
			g := newStage(script[1:], func(_ *stage, idle bool) int { return map[bool]int{true: 3}[idle] })
			rows, events := map[string]row{}, 0
			f := g.follower(path)
			f.config.report = func(e *LineError) { t.Error(e) }
			err = f.read(t.Context(), nil, func(_ context.Context, c chunk) error {
				if c.begin != nil {
					clear(rows)
				}
				for _, r := range c.rows {
					if a := r.prefix.Addr().String(); r.leased() {
						rows[a] = r
					} else {
						delete(rows, a)
					}
				}
				if c.events {
					events += len(c.rows)
				}
				return nil
			})
			if !errors.Is(err, errSettled) {
				t.Fatal(err)
			}
			got := map[string]*ingestv1.Lease{}
			for a, r := range rows {
				c := newChange()
				if err := c.fill(&r, 0, 0); err != nil {
					t.Error(err)
				}
				got[a] = &c.lease
			}
			diffLeases(t, csvLeases(t, time.Unix(0, 0), path+".2", path+".1", path), got)
			if events == 0 {
				t.Error("nothing came as an event")
			}
		})
	}
}
