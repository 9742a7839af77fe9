package kea

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// samples are recordings of Kea servers: a lease file, and what lease6-get-page said when it had its first lines.
var samples = []struct {
	folder string
	lines  int // of the lease file, header included, when the pages were taken
	leases int // in force
}{
	{"testdata/kea-2.2", 944, 528},
	{"testdata/kea-3.3", 897, 528},
}

// pageLease is a lease as lease6-get-page writes it.
type pageLease struct {
	CLTT        int64  `json:"cltt"`
	DUID        string `json:"duid"`
	FQDNForward bool   `json:"fqdn-fwd"`
	FQDNReverse bool   `json:"fqdn-rev"`
	Hostname    string `json:"hostname"`
	IAID        uint32 `json:"iaid"`
	Address     string `json:"ip-address"`
	Preferred   uint32 `json:"preferred-lft"`
	PrefixLen   uint32 `json:"prefix-len"`
	State       int    `json:"state"`
	SubnetID    uint32 `json:"subnet-id"`
	Type        string `json:"type"`
	Valid       uint32 `json:"valid-lft"`
	Context     struct {
		ISC struct {
			Relays    []pageRelay `json:"relays"`
			RelayInfo []pageRelay `json:"relay-info"`
		} `json:"ISC"`
	} `json:"user-context"`
}

type pageRelay struct {
	Hop     uint32 `json:"hop"`
	Link    string `json:"link"`
	Options string `json:"options"`
	Peer    string `json:"peer"`
}

// pageLeases reads the leases in force of a recording of lease6-get-page, as an independent reader would.
func pageLeases(t *testing.T, path string, now time.Time) map[string]*ingestv1.Lease {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	out := map[string]*ingestv1.Lease{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var page struct {
			Response struct {
				Arguments struct{ Leases []pageLease }
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		for _, l := range page.Response.Arguments.Leases {
			if l.State == 0 && l.Valid > 0 {
				out[l.Address] = l.lease(t, now)
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func (l *pageLease) lease(t *testing.T, now time.Time) *ingestv1.Lease {
	t.Helper()
	out := &ingestv1.Lease{
		Kind: ingestv1.Kind_KIND_NA, Address: addressOctets(t, l.Address), PrefixLength: 128, Duid: hexOctets(t, strings.ReplaceAll(l.DUID, ":", "")), Iaid: l.IAID,
		Preferred: l.Preferred, Valid: l.Valid, AgeMs: now.UnixMilli() - l.CLTT*1000, Stamp: uint32(l.CLTT), LinkName: strconv.Itoa(int(l.SubnetID)),
	}
	if l.Type == "IA_PD" {
		out.Kind, out.PrefixLength = ingestv1.Kind_KIND_PD, l.PrefixLen
	}
	for _, r := range append(l.Context.ISC.Relays, l.Context.ISC.RelayInfo...) {
		out.Relays = append(out.Relays, &ingestv1.RelayLevel{
			HopCount: r.Hop, LinkAddress: addressOctets(t, r.Link), PeerAddress: addressOctets(t, r.Peer), Options: hexOctets(t, strings.TrimPrefix(r.Options, "0x")),
		})
	}
	if l.Hostname != "" {
		flags := map[[2]bool]byte{{false, false}: 4, {true, true}: 1, {false, true}: 0}[[2]bool{l.FQDNForward, l.FQDNReverse}]
		value := []byte{flags}
		for _, label := range strings.Split(strings.TrimSuffix(l.Hostname, "."), ".") {
			value = append(append(value, byte(len(label))), label...)
		}
		if strings.HasSuffix(l.Hostname, ".") {
			value = append(value, 0)
		}
		out.Options = append([]byte{0, 39, 0, byte(len(value))}, value...)
	}
	return out
}

func addressOctets(t *testing.T, text string) []byte {
	t.Helper()
	a, err := netip.ParseAddr(text)
	if err != nil {
		t.Fatal(err)
	}
	return a.AsSlice()
}

func hexOctets(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// firstLines writes the first lines of a file into a new one.
func firstLines(t *testing.T, path string, n int) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(text, []byte{'\n'})
	return writeFile(t, filepath.Base(path), string(bytes.Join(lines[:n], nil)))
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func byAddress(t *testing.T, leases []*ingestv1.Lease) map[string]*ingestv1.Lease {
	t.Helper()
	out := map[string]*ingestv1.Lease{}
	for _, l := range leases {
		a, ok := netip.AddrFromSlice(l.GetAddress())
		if !ok {
			t.Fatalf("address of %d octets", len(l.GetAddress()))
		}
		if out[a.String()] != nil {
			t.Errorf("%v is stated twice", a)
		}
		out[a.String()] = l
	}
	return out
}

func diffLeases(t *testing.T, want, got map[string]*ingestv1.Lease) {
	t.Helper()
	same := func(a, b *ingestv1.Lease) bool { return proto.Equal(a, b) }
	if maps.EqualFunc(want, got, same) {
		return // cmp alone takes seconds
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("leases (-want +got):\n%.4000s", diff)
	}
}

func TestSampleEqualsWhatKeaItselfSays(t *testing.T) {
	now := time.Unix(0, 0)
	for _, s := range samples {
		t.Run(s.folder, func(t *testing.T) {
			want := pageLeases(t, filepath.Join(s.folder, "lease6-get-page.jsonl"), now)
			if len(want) != s.leases {
				t.Fatalf("the pages hold %d leases in force, want %d", len(want), s.leases)
			}
			got, totals := read(t, Config{Files: []string{firstLines(t, filepath.Join(s.folder, "kea-leases6.csv"), s.lines)}}, now)
			diffLeases(t, want, byAddress(t, got.leases))
			if totals.Rows != uint64(s.lines-1) || totals.Skipped+totals.Partial+totals.WithoutName+totals.WithoutRelays > 0 {
				t.Errorf("totals %+v", totals)
			}
			if got.expected != int64(s.leases) || totals.Leases != uint64(s.leases) {
				t.Errorf("expected %d, stated %d leases, want %d", got.expected, totals.Leases, s.leases)
			}
			if diff := cmp.Diff([]string{"begin", "end"}, got.steps); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
		})
	}
}

func TestColumnsInAnyOrder(t *testing.T) {
	now := time.Unix(0, 0)
	for _, s := range samples {
		plain := firstLines(t, filepath.Join(s.folder, "kea-leases6.csv"), s.lines)
		want, _ := read(t, Config{Files: []string{plain}}, now)
		text, err := os.ReadFile(plain)
		if err != nil {
			t.Fatal(err)
		}
		for turn := range 18 {
			var out strings.Builder
			for line := range strings.Lines(string(text)) {
				fields := strings.Split(strings.TrimSuffix(line, "\n"), ",")
				n := len(fields)
				permuted := make([]string, n)
				for i := range fields {
					permuted[(i*5+turn)%n] = fields[i] // 5 has no common factor with 17 and 18 columns
				}
				fmt.Fprintln(&out, strings.Join(permuted, ","))
			}
			got, totals := read(t, Config{Files: []string{writeFile(t, "leases.csv", out.String())}}, now)
			if totals.Skipped > 0 {
				t.Fatalf("turn %d: %d skipped", turn, totals.Skipped)
			}
			diffLeases(t, byAddress(t, want.leases), byAddress(t, got.leases))
		}
	}
}

func TestRotatedFileSet(t *testing.T) {
	now := time.Unix(0, 0)
	folder := "testdata/kea-2.2/rotated"
	set, totals := read(t, Config{Files: []string{filepath.Join(folder, "kea-leases6.csv")}}, now)
	if totals.Files != 3 || totals.Skipped > 0 {
		t.Fatalf("totals %+v", totals)
	}
	// The same as one file: headers of the later ones left out.
	var all strings.Builder
	for i, suffix := range []string{".2", ".1", ""} {
		text, err := os.ReadFile(filepath.Join(folder, "kea-leases6.csv"+suffix))
		if err != nil {
			t.Fatal(err)
		}
		header, rows, _ := strings.Cut(string(text), "\n")
		if i == 0 {
			fmt.Fprintln(&all, header)
		}
		all.WriteString(rows)
	}
	one, _ := read(t, Config{Files: []string{writeFile(t, "one.csv", all.String())}}, now)
	diffLeases(t, byAddress(t, one.leases), byAddress(t, set.leases))
	if len(set.leases) < 30 {
		t.Errorf("only %d leases", len(set.leases))
	}
}

func TestCompletedSupersedesWhatItWasMadeFrom(t *testing.T) {
	folder := t.TempDir()
	row := func(i int) string { return sampleRow(map[string]string{"address": fmt.Sprintf("2001:db8::%d", i)}) }
	for name, text := range map[string]string{
		"l.csv.completed": sampleHeader + row(1), "l.csv.2": sampleHeader + row(2), "l.csv.1": sampleHeader + row(3), "l.csv": sampleHeader + row(4),
		"l.csv.output": sampleHeader + row(5),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, totals := read(t, Config{Files: []string{filepath.Join(folder, "l.csv")}}, time.Unix(0, 0))
	leases := byAddress(t, got.leases)
	if len(leases) != 2 || leases["2001:db8::1"] == nil || leases["2001:db8::4"] == nil || totals.Files != 2 {
		t.Errorf("read %d files, leases %v", totals.Files, leases)
	}
}
