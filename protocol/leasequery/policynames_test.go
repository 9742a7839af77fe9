package leasequery_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

func TestPolicyLookupNames(t *testing.T) {
	p, err := leasequery.NewPolicy([]leasequery.Requestor{
		{Name: "first", Names: []string{"BNG-1.example.net", "2001:DB8::0:1"}},
		{Name: "second", Prefixes: prefixes("2001:db8::/32"), Names: []string{"spiffe://isp/Relay", "noc@example.net", "bng-2.example.net."}},
		{Name: "third", Prefixes: prefixes("2001:db9::/32")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		names []string
		want  string // "": nobody
	}{
		{[]string{"bng-1.EXAMPLE.net"}, "first"},
		{[]string{"2001:db8:0::1"}, "first"},
		{[]string{"bng-2.example.net"}, "second"},
		{[]string{"noc@example.net"}, "second"},
		{[]string{"spiffe://isp/Relay"}, "second"},
		{[]string{"spiffe://isp/relay"}, ""}, // another path
		{[]string{"elsewhere.example", "noc@example.net", "bng-1.example.net"}, "first"},
		{[]string{"bng-1.example.net", "noc@example.net"}, "first"},
		{[]string{"example.net"}, ""},
		{[]string{"x.bng-1.example.net"}, ""},
		{[]string{"*.example.net"}, ""},
		{[]string{"2001:db8::2"}, ""}, // prefixes are for source addresses
		{[]string{"third"}, ""},       // so are names of stanzas
		{[]string{""}, ""},
		{nil, ""},
	} {
		r, ok := p.LookupNames(tc.names)
		if ok != (tc.want != "") || ok && r.Name != tc.want {
			t.Errorf("%q: got %v, %v, want %q", tc.names, r, ok, tc.want)
		}
	}
	for _, none := range []*leasequery.Policy{nil, {}} {
		if r, ok := none.LookupNames([]string{"bng-1.example.net"}); ok {
			t.Errorf("an empty policy knows %v", r)
		}
	}
}

func TestPolicyNamesThatMakeNoSense(t *testing.T) {
	for name, list := range map[string][]leasequery.Requestor{
		"twice":                {{Name: "a", Names: []string{"x.example"}}, {Name: "b", Names: []string{"X.example."}}},
		"twice in one":         {{Name: "b", Names: []string{"x.example", "x.example"}}},
		"an address, two ways": {{Name: "a", Names: []string{"2001:db8::1"}}, {Name: "b", Names: []string{"2001:db8:0:0::1"}}},
		"empty":                {{Name: "b", Names: []string{""}}},
	} {
		_, err := leasequery.NewPolicy(list)
		if !errors.Is(err, leasequery.ErrPolicy) || !strings.Contains(err.Error(), `"b"`) {
			t.Errorf("%s: %v, want an error about stanza b", name, err)
		}
	}
}

// RFC 7653 9.1: the REPLY without status; options of STARTTLS are ignored, but its client-id is copied.
func TestAcceptStartTLS(t *testing.T) {
	e := leasequery.New(leasequery.Config{}, house())
	for _, tc := range []struct{ message, want []byte }{
		{msg(msgStartTLS), msg(7, opt(optServerID, serverID))},
		{msg(msgStartTLS, opt(optServerID, []byte{1}), opt(optClientID, requestorID)), msg(7, opt(optClientID, requestorID), opt(optServerID, serverID))},
		{msg(msgStartTLS, opt(optClientID, make([]byte, 200))), msg(7, opt(optServerID, serverID))},
	} {
		m, err := dhcpv6.ParseMessage(tc.message)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.AcceptStartTLS(nil, m); !bytes.Equal(got, tc.want) {
			t.Errorf("%x: got %x, want %x", tc.message, got, tc.want)
		}
	}
}
