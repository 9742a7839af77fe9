package main

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"

	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
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
			if err := d.askUDP(n, q, first); err != nil {
				return err
			}
		}
		over := ""
		if overUDP(q) {
			over = ", over UDP too"
		}
		d.say("%-21v %3d clients, the same in the same order from all three nodes%s", q.Type, len(first), over)
	}
	return nil
}

// overUDP tells whether there is such a query over UDP (RFC 5007).
func overUDP(q requestor.Query) bool {
	return q.Type == dhcpv6.QueryByAddress || q.Type == dhcpv6.QueryByClientID
}

// askUDP asks a node over UDP, if that can be: it must tell the same.
func (d *demo) askUDP(n *laptop.Node, q requestor.Query, want []string) error {
	if !overUDP(q) {
		return nil
	}
	var got []string
	err := requestor.QueryUDP(d.ctx, []string{n.LeasequeryUDP}, requestor.Config{ClientID: newDUID()}, q, func(c *requestor.Client) error {
		got = append(got, fingerprint(c))
		return nil
	})
	if err != nil {
		return fmt.Errorf("%v at %s over UDP: %w", q.Type, n.Name, err)
	}
	if !slices.Equal(want, got) {
		return fmt.Errorf("%v: %s tells something else over UDP than over TCP", q.Type, n.Name)
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
