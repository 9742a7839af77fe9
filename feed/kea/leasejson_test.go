package kea

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/fsm/binding"
)

// pageObjects are the leases of a recording of lease6-get-page, each as its JSON text.
func pageObjects(t testing.TB, path string) []json.RawMessage {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var out []json.RawMessage
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var page struct {
			Response struct {
				Arguments struct{ Leases []json.RawMessage }
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		out = append(out, page.Response.Arguments.Leases...)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// fileRows is what the reader of lease files makes of the last line of each address.
func fileRows(t *testing.T, path string) map[netip.Addr]row {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	in := bufio.NewScanner(file)
	in.Buffer(nil, 1<<20)
	in.Scan()
	var p parser
	if p.columns, err = parseHeader(bytes.Clone(in.Bytes())); err != nil {
		t.Fatal(err)
	}
	out := map[netip.Addr]row{}
	for in.Scan() {
		if err := p.parse(in.Bytes()); err != nil {
			t.Fatal(err)
		}
		out[p.row.prefix.Addr()] = p.row.clone()
	}
	return out
}

// rowText is the same of equal rows: what nobody looks at in a lease that is over is left out.
func rowText(r row) string {
	if !r.leased() {
		r.fqdnFwd, r.fqdnRev, r.hostname, r.relays = false, false, nil, nil
	}
	relays := ""
	for _, l := range r.relays {
		relays += fmt.Sprintf(" [%d %v %v %x]", l.hop, l.link, l.peer, l.options)
	}
	return fmt.Sprintf("%v %v duid %x iaid %d valid %d preferred %d expire %d subnet %s state %d fqdn %v %v %q relays%s fail %v",
		r.kind, r.prefix, r.duid, r.iaid, r.valid, r.preferred, r.expire, r.subnet, r.state, r.fqdnFwd, r.fqdnRev, r.hostname, relays, r.relaysFail)
}

func TestLeaseInJSONEqualsItsLineInTheFile(t *testing.T) {
	for _, s := range []struct {
		folder        string
		lines, leases int
		over          int // of these, leases with valid lifetime 0, which only 3.x lists
	}{{"testdata/kea-2.2", 944, 592, 0}, {"testdata/kea-3.3", 897, 668, 64}} {
		t.Run(s.folder, func(t *testing.T) {
			file := fileRows(t, firstLines(t, filepath.Join(s.folder, "kea-leases6.csv"), s.lines))
			want, got, over := map[string]string{}, map[string]string{}, 0
			for a, r := range file {
				want[a.String()] = rowText(r)
			}
			for _, text := range pageObjects(t, filepath.Join(s.folder, "lease6-get-page.jsonl")) {
				var r row
				if err := parseLease(text, &r); err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				if r.valid == 0 {
					over++
				}
				got[r.prefix.Addr().String()] = rowText(r)
			}
			if len(got) != s.leases || over != s.over {
				t.Errorf("%d leases, %d of them over; want %d and %d", len(got), over, s.leases, s.over)
			}
			for a, r := range file {
				if _, listed := got[a.String()]; !listed && r.valid == 0 {
					delete(want, a.String()) // removed
				}
			}
			if !maps.Equal(want, got) {
				t.Errorf("rows (-file +page):\n%.4000s", cmp.Diff(want, got))
			}
		})
	}
}

const leaseText = `{"cltt":1795424333,"duid":"00:03:00:01:02:00:5e:6f:0f:a3","fqdn-fwd":true,"fqdn-rev":true,"hostname":"caf\u00c3\u00a9.","hw-address":"02:00:5e:6f:0f:a3",` +
	`"iaid":4294967295,"ip-address":"2001:db8:a100::","pool-id":10,"preferred-lft":3600,"prefix-len":56,"state":0,"subnet-id":300,"type":"IA_PD",` +
	`"user-context":{"ISC":{"relay-info":[{"hop":1,"link":"2001:db8::1","options":"0x00120001AA","peer":"fe80::1","relay-id":"00"}]},"op":"\u00e9"},"valid-lft":4294967295}`

func TestLeaseInJSON(t *testing.T) {
	want := row{
		prefix: netip.MustParsePrefix("2001:db8:a100::/56"), kind: binding.PD, duid: []byte{0, 3, 0, 1, 2, 0, 0x5e, 0x6f, 0x0f, 0xa3}, iaid: math.MaxUint32,
		valid: math.MaxUint32, preferred: 3600, expire: 1795424333 + math.MaxUint32, subnet: []byte("300"), fqdnFwd: true, fqdnRev: true, hostname: []byte("café."),
		relays: []relay{{hop: 1, link: netip.MustParseAddr("2001:db8::1"), peer: netip.MustParseAddr("fe80::1"), options: []byte{0, 0x12, 0, 1, 0xaa}}},
	}
	change := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(leaseText) }
	for name, tc := range map[string]struct {
		text string
		want func(r *row)
	}{
		"page":           {leaseText, func(*row) {}},
		"expire":         {change(`"cltt":1795424333`, `"expire":6090391628`), func(*row) {}},
		"expire first":   {change(`"cltt":1795424333`, `"cltt":5,"expire":6090391628`), func(*row) {}},
		"other contexts": {change(`"relay-info"`, `"relays"`), func(*row) {}},
		"unusable relay": {change(`fe80::1`, `fe80::x`), func(r *row) { r.relays, r.relaysFail = nil, ErrRelays }},
		"temporary":      {change(`IA_PD`, `IA_TA`), func(r *row) { r.kind, r.prefix = binding.TA, netip.MustParsePrefix("2001:db8:a100::/128") }},
		"declined 2.2": {change(`"00:03:00:01:02:00:5e:6f:0f:a3"`, `"00"`, `"state":0`, `"state":1`), func(r *row) {
			r.state, r.duid, r.hostname, r.relays = stateDeclined, nil, nil, nil
		}},
		"declined 3.x": {change(`"00:03:00:01:02:00:5e:6f:0f:a3"`, `"00:00:00"`, `"state":0`, `"state":1`), func(r *row) {
			r.state, r.duid, r.hostname, r.relays = stateDeclined, nil, nil, nil
		}},
		"registered": {change(`"state":0`, `"state":4`), func(r *row) { r.state, r.hostname, r.relays = stateRegistered, nil, nil }},
		"released": {change(`"state":0`, `"state":3`, `"valid-lft":4294967295`, `"valid-lft":0`, `"preferred-lft":3600,`, ``), func(r *row) {
			r.state, r.valid, r.preferred, r.expire, r.hostname, r.relays = stateReleased, 0, 0, 1795424333, nil, nil
		}},
		"a script's": {`{"ip-address":"2001:db8::7","iaid":1,"duid":"0001aa","valid-lft":60,"preferred-lft":30,"expire":100}`, func(r *row) {
			*r = row{prefix: netip.MustParsePrefix("2001:db8::7/128"), duid: []byte{0, 1, 0xaa}, iaid: 1, valid: 60, preferred: 30, expire: 100}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			want := want.clone()
			tc.want(&want)
			var got row
			if err := parseLease([]byte(tc.text), &got); err != nil {
				t.Fatal(err)
			}
			if !errors.Is(got.relaysFail, want.relaysFail) {
				t.Errorf("relays: %v, want %v", got.relaysFail, want.relaysFail)
			}
			want.relaysFail = got.relaysFail
			if diff := cmp.Diff(rowText(want), rowText(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLeaseInJSONErrorsNameTheField(t *testing.T) {
	change := func(old, new string) string { return strings.Replace(leaseText, old, new, 1) }
	for name, tc := range map[string]struct {
		text, field string
		err         error
	}{
		"not an object":       {`[]`, "", errJSON},
		"more behind":         {leaseText + `,`, "", errJSON},
		"no address":          {change(`"ip-address":"2001:db8:a100::",`, ``), "ip-address", ErrAddress},
		"IPv4":                {change(`2001:db8:a100::`, `192.0.2.1`), "ip-address", ErrAddress},
		"link-local":          {change(`2001:db8:a100::`, `fe80::1`), "ip-address", ErrAddress},
		"address number":      {change(`"2001:db8:a100::"`, `7`), "ip-address", errJSON},
		"bits behind":         {change(`"prefix-len":56`, `"prefix-len":20`), "prefix-len", ErrHostBits},
		"prefix too long":     {change(`"prefix-len":56`, `"prefix-len":129`), "prefix-len", ErrNumber},
		"no prefix length":    {change(`"prefix-len":56,`, ``), "prefix-len", ErrMissing},
		"no DUID":             {change(`"00:03:00:01:02:00:5e:6f:0f:a3"`, `"00:00:00"`), "duid", ErrDUID},
		"odd DUID":            {change(`00:03:00:01`, `00:03:00:0`), "duid", ErrDUID},
		"negative IAID":       {change(`4294967295`, `-1`), "iaid", ErrNumber},
		"IAID missing":        {change(`"iaid":4294967295,`, ``), "iaid", ErrMissing},
		"IAID text":           {change(`"iaid":4294967295`, `"iaid":"1"`), "iaid", ErrNumber},
		"lifetime missing":    {change(`,"valid-lft":4294967295`, ``), "valid-lft", ErrMissing},
		"lifetime 33 bits":    {change(`"valid-lft":4294967295`, `"valid-lft":4294967296`), "valid-lft", ErrNumber},
		"preferred missing":   {change(`"preferred-lft":3600,`, ``), "preferred-lft", ErrMissing},
		"no time":             {change(`"cltt":1795424333,`, ``), "cltt", ErrMissing},
		"before 1970":         {change(`"cltt":1795424333`, `"expire":7`), "expire", ErrNumber},
		"cltt of 33 bits":     {change(`1795424333`, `4294967296`), "cltt", ErrNumber},
		"too late to run out": {change(`"cltt":1795424333`, `"expire":8589934591`), "expire", ErrNumber},
		"transaction in 2107": {strings.NewReplacer(`"cltt":1795424333`, `"expire":4294967300`, `"valid-lft":4294967295`, `"valid-lft":3`).Replace(leaseText), "expire", ErrNumber},
		"cltt overflows":      {change(`1795424333`, `9223372036854775807`), "cltt", ErrNumber},
		"unknown state":       {change(`"state":0`, `"state":5`), "state", ErrNumber},
		"unknown type":        {change(`IA_PD`, `V4`), "type", nil},
		"subnet text":         {change(`"subnet-id":300`, `"subnet-id":"300"`), "subnet-id", ErrNumber},
		"fqdn number":         {change(`"fqdn-fwd":true`, `"fqdn-fwd":1`), "fqdn-fwd", errJSON},
		"fqdn-rev text":       {change(`"fqdn-rev":true`, `"fqdn-rev":"true"`), "fqdn-rev", errJSON},
		"hostname null":       {change(`"caf\u00c3\u00a9."`, `null`), "hostname", errJSON},
		"context text":        {change(`{"ISC"`, `"{}","x":{"ISC"`), "user-context", errJSON},
		"too deep elsewhere":  {change(`"pool-id":10`, `"pool-id":`+strings.Repeat("[", 101)+strings.Repeat("]", 101)), "", errJSON},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.text == leaseText {
				t.Fatal("the text has no mistake")
			}
			r := row{iaid: 77}
			err := parseLease([]byte(tc.text), &r)
			var field *fieldError
			if !errors.As(err, &field) || field.field != tc.field || (tc.err != nil && !errors.Is(err, tc.err)) {
				t.Errorf("error %v, want field %q and %v", err, tc.field, tc.err)
			}
			if r.iaid != 77 {
				t.Error("the row is touched")
			}
		})
	}
}

func TestLeaseInJSONCutShort(t *testing.T) {
	for i := range leaseText {
		if err := parseLease([]byte(leaseText[:i]), new(row)); err == nil {
			t.Errorf("%q is taken", leaseText[:i])
		}
	}
}

func FuzzLeaseJSON(f *testing.F) {
	f.Add([]byte(leaseText))
	for _, s := range samples {
		for text := range slices.Chunk(pageObjects(f, filepath.Join(s.folder, "lease6-get-page.jsonl")), 40) {
			f.Add([]byte(text[0]))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var r row
		err := parseLease(text, &r)
		if err != nil {
			var field *fieldError
			if !errors.As(err, &field) {
				t.Fatalf("error of type %T", err)
			}
			return
		}
		if !r.prefix.IsValid() || r.prefix.Masked() != r.prefix || len(r.duid) > binding.MaxDUID || len(r.relays) > binding.MaxHops {
			t.Fatalf("bad row %s", rowText(r))
		}
		if r.leased() {
			mustBeStorable(t, &r)
		}
		// The row owns its octets.
		before := rowText(r)
		clear(text)
		if after := rowText(r); after != before {
			t.Fatalf("changed with its text:\n%s\n%s", before, after)
		}
	})
}
