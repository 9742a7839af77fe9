//go:build linux

package main

import (
	"testing"
	"time"

	"github.com/leasehold/leasehold/feed/synthetic"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// TestClusterOnHosts: nodes on hosts of their own found a cluster, are fed from another host, and each answers whole; leadership
// goes where it is wanted.
func TestClusterOnHosts(t *testing.T) {
	t.Parallel()
	c := startNSCluster(t, 3)
	relay := c.Lab.Host("relay")
	source, err := synthetic.New(synthetic.Config{Leases: 2000, Relays: 2, Seed: 1, Valid: 86400})
	if err != nil {
		t.Fatal(err)
	}
	ctx := deadline(t, time.Minute)
	if err := c.newAgent(t, relay, "kea", source).Run(ctx); err != nil {
		t.Fatal(err)
	}
	query := requestor.Query{Type: dhcpv6.QueryByRelayID, RelayID: source.Relay(0).ID, RelayData: true}
	want := 0
	for i := range source.Clients() {
		if source.Client(i).Relay == 0 {
			want++
		}
	}
	for _, n := range c.Nodes {
		got := 0
		if err := requestor.QueryAny(ctx, []string{n.Leasequery}, nsRequestor(relay), query, func(*requestor.Client) error { got++; return nil }); err != nil {
			t.Fatal(err)
		}
		if got != want || want == 0 {
			t.Errorf("%s tells of %d clients, want %d", n.Name, got, want)
		}
	}
	for _, n := range c.Nodes {
		c.Lead(t, n)
	}
}
