package main

import (
	"github.com/spf13/cobra"

	"github.com/leasehold/leasehold/cmd/leasehold/config"
)

func feedUpstreamCommand() *cobra.Command {
	var f feederFlags
	var u config.Upstream
	var links []string
	c := &cobra.Command{
		Use:   "upstream --server HOST:PORT[,HOST:PORT…] --link PREFIX --source NAME",
		Short: "Feed the leases of a server that speaks leasequery",
		Long: "Ask a server that speaks bulk leasequery (RFC 5460) for its leases, every so often, and feed them: another Leasehold, Kea 3 with\n" +
			"its lease_query hook, Cisco CPNR, a Junos server. With --active subscribe in between (RFC 7653), where the server lets it.\n" +
			"What the server has that no --link, --relay-id, --remote-id or --client-id finds is not fed. Names of links, TLS and more are\n" +
			"for the configuration file: leasehold feed --config.",
		Example: "  leasehold feed upstream --server 192.0.2.1:547 --link 2001:db8:7::/64 --link 2001:db8:8::/64 --active --source cpnr",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, p := range links {
				u.Links = append(u.Links, config.Link{Name: p, Prefixes: []string{p}})
			}
			return f.run(cmd, config.Source{Upstream: &u})
		},
	}
	f.add(c, false)
	fl := c.Flags()
	fl.StringSliceVar(&u.Servers, "server", nil, "the server, host:port; several of one cluster are asked in turn")
	fl.StringArrayVar(&links, "link", nil, "a link's prefix: ask for what is on it")
	fl.StringArrayVar(&u.RelayIDs, "relay-id", nil, "a relay's DUID, hex: ask for what is behind it")
	fl.StringArrayVar(&u.RemoteIDs, "remote-id", nil, "ENTERPRISE:HEX: ask for what has it")
	fl.StringArrayVar(&u.ClientIDs, "client-id", nil, "a client's DUID, hex: ask for what it has")
	fl.BoolVar(&u.Active, "active", false, "subscribe between the full queries")
	fl.BoolVar(&u.Everything, "everything", false, "with --active: subscribe once, to all that the server has")
	fl.DurationVar(&u.Every, "every", 0, "how often everything is asked for; 0: a choice that fits")
	_ = c.MarkFlagRequired("server") // the flag was defined above
	return c
}
