package main

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

func (d *demo) feedKea() error {
	if _, err := os.Stat(d.leases); err != nil {
		return fmt.Errorf("the demonstration runs in the project's folder, or with --kea-leases: %w", err)
	}
	job := keaJob{files: []string{d.leases}, keaConfig: d.keaConfig, once: true, shift: true, source: "kea", cluster: d.cluster.GRPC(), out: io.Discard, quiet: true}
	read, err := job.run(d.ctx)
	if err != nil {
		return err
	}
	d.say("%d leases and %d links of a real Kea (%s) are committed by a majority", read.Leases, read.Links, d.leases)
	return nil
}

// demoQueries is one query of each type about the leases of the recorded Kea.
func demoQueries() []requestor.Query {
	relay, _ := binding.ParseHex("000200007ed9626e672d612d3031")
	client, _ := binding.ParseHex("00:02:00:00:7e:d9:a8:64:f6:e0:ba:06:1e:ad:8e:d6:ad:fd")
	return []requestor.Query{
		{Type: dhcpv6.QueryByAddress, Address: netip.MustParseAddr("2001:db8:1000::1001"), RelayData: true},
		{Type: dhcpv6.QueryByClientID, ClientID: client, RelayData: true},
		{Type: dhcpv6.QueryByRelayID, RelayID: relay, RelayData: true},
		{Type: dhcpv6.QueryByLinkAddress, LinkAddress: netip.MustParseAddr("2001:db8:1003::1"), RelayData: true},
		{Type: dhcpv6.QueryByRemoteID, RemoteID: dhcpv6.RemoteID{Enterprise: 32473, ID: []byte("olt1/1/0/0")}, RelayData: true},
	}
}

// askEverything asks every node by every query type. All must tell of the same clients in the same order.
func (d *demo) askEverything() error {
	for _, q := range demoQueries() {
		var first []string
		for i, n := range d.cluster.Nodes {
			answer, err := d.ask(n.LeasequeryTCP, q)
			switch {
			case err != nil:
				return fmt.Errorf("%v at %s: %w", q.Type, n.Name, err)
			case len(answer) == 0:
				return fmt.Errorf("%v at %s: nothing found", q.Type, n.Name)
			case i == 0:
				first = answer
			case !slices.Equal(first, answer):
				return fmt.Errorf("%v: %s tells of other clients than %s, or in another order", q.Type, n.Name, d.cluster.Nodes[0].Name)
			}
		}
		d.say("%-21v %3d clients, the same in the same order from all three nodes", q.Type, len(first))
	}
	return nil
}

// ask collects what one server says of each client, but for what passes with time.
func (d *demo) ask(server string, q requestor.Query) ([]string, error) {
	var out []string
	err := requestor.QueryAny(d.ctx, []string{server}, requestor.Config{ClientID: newDUID(), Rounds: 1}, q, func(c *requestor.Client) error {
		out = append(out, fingerprint(c))
		return nil
	})
	return out, err
}

// fingerprint is what a client has, without lifetimes.
func fingerprint(c *requestor.Client) string {
	b := fmt.Appendf(nil, "%x", c.DUID)
	for _, a := range c.Addresses {
		b = fmt.Appendf(b, " %v", a.Address)
	}
	for _, p := range c.Prefixes {
		b = fmt.Appendf(b, " %v", p.Prefix)
	}
	for _, l := range c.Relay.Levels {
		b = fmt.Appendf(b, " via %v", l.Link)
	}
	return string(b)
}
