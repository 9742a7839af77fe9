package bulk

import (
	"net/netip"
	"testing"

	"github.com/leasehold/leasehold/protocol/leasequery"
)

// loopbackPolicy knows requestors on loopback and allows them everything.
func loopbackPolicy(t testing.TB) *leasequery.Policy { return policyOf(t) }

// policyOf is a policy of these stanzas, or one that allows loopback everything when there is none.
func policyOf(t testing.TB, requestors ...leasequery.Requestor) *leasequery.Policy {
	t.Helper()
	if len(requestors) == 0 {
		requestors = []leasequery.Requestor{{Name: "loopback", Prefixes: []netip.Prefix{
			netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("127.0.0.0/8"),
		}}}
	}
	p, err := leasequery.NewPolicy(requestors)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
