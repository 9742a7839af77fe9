package jsonlines

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

func octets(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// full is a lease with every member.
const full = `{"change":"lease","address":"2001:db8::1","duid":"00:03:00:01:02:00:00:00:00:01","iaid":4294967295,"preferred":3600,"valid":7200,` +
	`"age_seconds":1.5,"link":"vlan7","sender":"fe80::9","state":"active","source":"somebody","relays":[` +
	`{"link":"2001:db8::ff","peer":"fe80::1","hop_count":7,"interface_id":"abcd","remote_id":"32473:6f:6c:74","relay_id":"0003","subscriber_id":"73","options":[{"code":79,"data":"0001"},{"code":82,"data":""}]},` +
	`{"peer":"fe80::2"}],"options":[{"code":39,"data":"00"}]}`

func TestParse(t *testing.T) {
	address := octets(t, "20010db8 00000000 00000000 00000001")
	duid := octets(t, "0003 0001 0200 0000 0001")
	for _, tc := range []struct {
		name, line string
		want       line
	}{
		{"lease with everything", full, line{at: moment{ms: 1500}, change: &ingestv1.Change{Change: &ingestv1.Change_Upsert{Upsert: &ingestv1.Lease{
			Address: address, PrefixLength: 128, Duid: duid, Iaid: 4294967295, Preferred: 3600, Valid: 7200, LinkName: "vlan7",
			RelaySender: octets(t, "fe80 0000 0000 0000 0000 0000 0000 0009"),
			Relays: []*ingestv1.RelayLevel{
				{
					HopCount: 7, LinkAddress: octets(t, "20010db8 00000000 00000000 000000ff"), PeerAddress: octets(t, "fe80 0000 0000 0000 0000 0000 0000 0001"),
					Options: octets(t, "0012 0002 abcd  0025 0007 00007ed9 6f6c74  0026 0001 73  0035 0002 0003  004f 0002 0001  0052 0000"),
				},
				{PeerAddress: octets(t, "fe80 0000 0000 0000 0000 0000 0000 0002")},
			},
			Options: octets(t, "0027 0001 00"),
		}}}}},
		{"lease with the least", `{"address":"2001:db8::1","duid":"00030001020000000001","iaid":0,"valid":60}`,
			line{change: &ingestv1.Change{Change: &ingestv1.Change_Upsert{Upsert: &ingestv1.Lease{Address: address, PrefixLength: 128, Duid: duid, Preferred: 60, Valid: 60}}}}},
		{"as bindings --json prints it", `{"prefix":"2001:db8:8000::/56","duid":"00:03:00:01:02:00:00:00:00:01","iaid":1,"link":"2001:db8::","preferred":4294967295,"valid":4294967295,"last_transaction":1795612717,"state":"active","source":"s"}`,
			line{at: moment{absolute: true, ms: 1795612717000}, change: &ingestv1.Change{Change: &ingestv1.Change_Upsert{Upsert: &ingestv1.Lease{
				Kind: ingestv1.Kind_KIND_PD, Address: octets(t, "20010db8 80000000 00000000 00000000"), PrefixLength: 56, Duid: duid, Iaid: 1,
				Preferred: 4294967295, Valid: 4294967295, LinkName: "2001:db8::"}}}}},
		{"temporary", `{"address":"2001:db8::1","temporary":true,"duid":"00030001020000000001","iaid":2,"preferred":90,"valid":60}`,
			line{change: &ingestv1.Change{Change: &ingestv1.Change_Upsert{Upsert: &ingestv1.Lease{Kind: ingestv1.Kind_KIND_TA, Address: address, PrefixLength: 128,
				Duid: duid, Iaid: 2, Preferred: 60, Valid: 60}}}}},
		{"end", `{"change":"end","address":"2001:db8::1","duid":"00030001020000000001","iaid":2,"reason":"released","ended":5}`,
			line{at: moment{absolute: true, ms: 5000}, change: &ingestv1.Change{Change: &ingestv1.Change_End{End: &ingestv1.End{Address: address, PrefixLength: 128,
				Duid: duid, Iaid: 2, Reason: ingestv1.Reason_REASON_RELEASED}}}}},
		{"end of whoever has it", `{"change":"end","address":"2001:db8::1"}`,
			line{change: &ingestv1.Change{Change: &ingestv1.Change_End{End: &ingestv1.End{Address: address, PrefixLength: 128}}}}},
		{"link", `{"change":"link","link":"vlan7","prefixes":["2001:db8::/64"],"relays":["2001:db8::ff"]}`,
			line{change: &ingestv1.Change{Change: &ingestv1.Change_DefineLink{DefineLink: &ingestv1.Link{Label: "vlan7", Names: []string{"vlan7"},
				Prefixes: []string{"2001:db8::/64"}, Relays: []string{"2001:db8::ff"}}}}}},
		{"link with names", `{"change":"link","link":"vlan7","names":["7","8"],"prefixes":["2001:db8::/64"]}`,
			line{change: &ingestv1.Change{Change: &ingestv1.Change_DefineLink{DefineLink: &ingestv1.Link{Label: "vlan7", Names: []string{"7", "8"}, Prefixes: []string{"2001:db8::/64"}}}}}},
		{"remove-link", `{"change":"remove-link","link":"vlan7"}`, line{change: &ingestv1.Change{Change: &ingestv1.Change_RemoveLink{RemoveLink: "vlan7"}}}},
		{"begin", ` {"change":"begin","links":true} `, line{verb: begin, links: true}},
		{"complete", `{"change":"complete"}`, line{verb: complete}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parse([]byte(tc.line))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(line{}, moment{}), protocmp.Transform()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// manyNames are names of the longest kind.
func manyNames(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("%0255d", i))
	}
	return out
}

func TestBadLines(t *testing.T) {
	lease := func(members string) string {
		return `{"address":"2001:db8::1","duid":"0003","iaid":1,"valid":60` + members + `}`
	}
	for _, tc := range []struct{ name, line, field, text string }{
		{"nothing", ``, "", "not a JSON object"},
		{"an array", `[]`, "", "not a JSON object"},
		{"broken", `{"address":`, "", "unexpected EOF"},
		{"two objects", lease("") + lease(""), "", "behind the object"},
		{"unknown member", lease(`,"vaild":7`), "vaild", "unknown"},
		{"unknown member of a relay", lease(`,"relays":[{"lnik":"::"}]`), "lnik", "unknown"},
		{"unknown change", `{"change":"renew"}`, "change", `"renew": want lease`},
		{"change of another type", `{"change":7}`, "change", "a JSON number, want a string"},
		{"member of an end in a lease", lease(`,"reason":"released"`), "reason", "unknown"},
		{"no address", `{"duid":"0003","iaid":1,"valid":60}`, "address", "either address or prefix"},
		{"both", lease(`,"prefix":"2001:db8::/56"`), "address", "either address or prefix"},
		{"IPv4", `{"address":"192.0.2.1","duid":"0003","iaid":1,"valid":60}`, "address", "not IPv6"},
		{"zone", `{"address":"2001:db8::1%eth0","duid":"0003","iaid":1,"valid":60}`, "address", "has a zone"},
		{"not an address", `{"address":"x","duid":"0003","iaid":1,"valid":60}`, "address", "unable to parse"},
		{"link-local", `{"address":"fe80::1","duid":"0003","iaid":1,"valid":60}`, "address", "not a global"},
		{"host bits", `{"prefix":"2001:db8::1/56","duid":"0003","iaid":1,"valid":60}`, "prefix", "bits behind its length"},
		{"a temporary prefix", `{"prefix":"2001:db8::/56","temporary":true,"duid":"0003","iaid":1,"valid":60}`, "temporary", "is not"},
		{"no duid", `{"address":"2001:db8::1","iaid":1,"valid":60}`, "duid", "missing"},
		{"odd duid", `{"address":"2001:db8::1","duid":"003","iaid":1,"valid":60}`, "duid", "odd length"},
		{"long duid", `{"address":"2001:db8::1","duid":"` + strings.Repeat("00", 131) + `","iaid":1,"valid":60}`, "duid", "131 octets"},
		{"no iaid", `{"address":"2001:db8::1","duid":"0003","valid":60}`, "iaid", "missing"},
		{"iaid of 33 bits", `{"address":"2001:db8::1","duid":"0003","iaid":4294967296,"valid":60}`, "iaid", "want a whole number from 0"},
		{"no valid", `{"address":"2001:db8::1","duid":"0003","iaid":1}`, "valid", "missing"},
		{"valid 0", `{"address":"2001:db8::1","duid":"0003","iaid":1,"valid":0}`, "valid", `{"change":"end"}`},
		{"valid in words", `{"address":"2001:db8::1","duid":"0003","iaid":1,"valid":"1h"}`, "valid", "a JSON string, want a whole number"},
		{"an ended state", lease(`,"state":"released"`), "state", `{"change":"end"}`},
		{"two times", lease(`,"age_seconds":1,"last_transaction":1`), "age_seconds", "want either"},
		{"age beyond all", lease(`,"age_seconds":1e300`), "age_seconds", "1e+300 seconds"},
		{"long link", lease(`,"link":"` + strings.Repeat("x", 256) + `"`), "link", "256 octets"},
		{"sender", lease(`,"sender":"x"`), "sender", "unable to parse"},
		{"peer", lease(`,"relays":[{},{"peer":"192.0.2.1"}]`), "relays[1].peer", "not an IPv6"},
		{"hop count", lease(`,"relays":[{"hop_count":256}]`), "relays.hop_count", "want a small whole number"},
		{"remote-id without enterprise", lease(`,"relays":[{"remote_id":"6f6c74"}]`), "relays[0].remote_id", "ENTERPRISE:HEX"},
		{"remote-id without octets", lease(`,"relays":[{"remote_id":"7:"}]`), "relays[0].remote_id", "0 octets"},
		{"option 0", lease(`,"relays":[{"options":[{"data":"00"}]}]`), "relays[0].options[0].code", "0 or missing"},
		{"relay message", lease(`,"relays":[{"options":[{"code":9,"data":"00"}]}]`), "relays[0].options[0].code", "relayed message"},
		{"option data", lease(`,"options":[{"code":39,"data":"xx"}]`), "options[0].data", "invalid byte"},
		{"large options", lease(`,"options":[{"code":39,"data":"` + strings.Repeat("00", 4093) + `"}]`), "options[0]", "more than 4096"},
		{"33 relays", lease(`,"relays":[{}` + strings.Repeat(",{}", 32) + `]`), "relays", "33, want at most 32"},
		{"large relays", lease(`,"relays":[{"interface_id":"` + strings.Repeat("00", 9000) + `"},{"interface_id":"` + strings.Repeat("00", 9000) + `"}]`), "relays", "more than 16384"},
		{"relays of a link in a lease", lease(`,"relays":["2001:db8::1"]`), "relays", "want an object"},
		{"end with duid alone", `{"change":"end","address":"2001:db8::1","duid":"0003"}`, "iaid", "missing"},
		{"end with iaid alone", `{"change":"end","address":"2001:db8::1","iaid":3}`, "duid", "missing"},
		{"reason", `{"change":"end","address":"2001:db8::1","reason":"bored"}`, "reason", "want deleted"},
		{"lifetime of an end", `{"change":"end","address":"2001:db8::1","valid":3}`, "valid", "unknown"},
		{"link without name", `{"change":"link","prefixes":["2001:db8::/64"]}`, "link", "missing"},
		{"link without prefixes", `{"change":"link","link":"x"}`, "", "0 prefixes"},
		{"prefix of a link", `{"change":"link","link":"x","prefixes":["2001:db8::"]}`, "prefixes[0]", "no '/'"},
		{"relay of a link", `{"change":"link","link":"x","prefixes":["2001:db8::/64"],"relays":["x"]}`, "relays[0]", "unable to parse"},
		{"a large link", `{"change":"link","link":"x","prefixes":["2001:db8::/64"],"names":["` + strings.Join(manyNames(1024), `","`) + `"]}`, "", "octets encoded"},
		{"removal of no link", `{"change":"remove-link"}`, "link", "0 octets"},
		{"begin with more", `{"change":"begin","link":"x"}`, "link", "unknown"},
		{"complete with more", `{"change":"complete","links":true}`, "links", "unknown"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := parse([]byte(tc.line))
			var f *fieldError
			if !errors.As(err, &f) || !errors.Is(err, ErrLine) || f.field != tc.field || !strings.Contains(f.err.Error(), tc.text) {
				t.Errorf("error %v, want one of %q that says %q", err, tc.field, tc.text)
			}
		})
	}
}

// TestEveryTruncationIsRefused cuts a line everywhere.
func TestEveryTruncationIsRefused(t *testing.T) {
	for i := range len(full) {
		if l, err := parse([]byte(full[:i])); err == nil {
			t.Errorf("cut at %d: %+v", i, l)
		}
	}
}

// FuzzParse wants of any octets either a change that the contract allows or an error that names what is wrong.
func FuzzParse(f *testing.F) {
	for _, s := range []string{full, `{"change":"end","address":"2001:db8::1","duid":"0003","iaid":3,"age_seconds":-1e9}`, `{"change":"begin"}`,
		`{"change":"link","link":"x","prefixes":["2001:db8::/64"],"relays":["2001:db8::1"]}`, `{"a":`, "{}", `{"change":"complete"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := parse(b)
		if err != nil {
			if !errors.Is(err, ErrLine) {
				t.Fatalf("%q: %v does not wrap ErrLine", b, err)
			}
			return
		}
		if l.verb != state {
			return
		}
		switch c := l.change.GetChange().(type) {
		case *ingestv1.Change_Upsert:
			if n := len(c.Upsert.GetAddress()); n != 16 || c.Upsert.GetValid() == 0 || c.Upsert.GetPreferred() > c.Upsert.GetValid() || len(c.Upsert.GetDuid()) == 0 {
				t.Fatalf("%q: %v", b, c.Upsert)
			}
		case *ingestv1.Change_End:
			if len(c.End.GetAddress()) != 16 || (len(c.End.GetDuid()) == 0 && c.End.GetIaid() != 0) {
				t.Fatalf("%q: %v", b, c.End)
			}
		}
	})
}
