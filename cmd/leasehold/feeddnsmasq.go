package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/leasehold/leasehold/cmd/leasehold/config"
	"github.com/leasehold/leasehold/feed/dnsmasq"
)

// eventPatience is how long dnsmasq, which waits for its script, may be held up by an agent that is away.
const eventPatience = 3 * time.Second

func feedDnsmasqCommand() *cobra.Command {
	var f feederFlags
	var d config.Dnsmasq
	c := &cobra.Command{
		Use:   "dnsmasq --leases FILE [--socket PATH] --source NAME",
		Short: "Feed the leases of dnsmasq 2.90",
		Long: "Follow the lease file of dnsmasq. With --socket it also takes what dnsmasq's dhcp-script is told, the relays' link-addresses\n" +
			"above all, which stand in no file: deploy/examples/dnsmasq.",
		Example: "  leasehold feed dnsmasq --leases /var/lib/misc/dnsmasq.leases --socket /run/leasehold-feed/dnsmasq.sock --source dnsmasq-a",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.Resync = f.resync
			return f.run(cmd, config.Source{Dnsmasq: &d})
		},
	}
	f.add(c, true)
	c.Flags().StringVar(&d.Leases, "leases", "", "dnsmasq's lease file")
	c.Flags().StringVar(&d.Socket, "socket", "", "a unix socket that the event command sends to")
	c.Flags().StringVar(&d.State, "state", "", "a file in which relay addresses outlive the agent")
	_ = c.MarkFlagRequired("leases") // the flag was defined above
	c.AddCommand(dnsmasqEventCommand())
	return c
}

func dnsmasqEventCommand() *cobra.Command {
	var socket string
	c := &cobra.Command{
		Use:   "event --socket PATH -- ARGUMENT...",
		Short: "Tell the agent what dnsmasq tells its dhcp-script",
		Long: "Send the arguments, and the environment variables of dnsmasq, to the agent. It is for dhcp-script alone: dnsmasq waits for\n" +
			"it, so an agent that is away is tried for three seconds only, and the lease file has the lease all the same.",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), eventPatience)
			defer cancel()
			return dnsmasq.SendEvent(ctx, socket, args, os.Environ())
		},
	}
	c.Flags().StringVar(&socket, "socket", "", "the agent's socket")
	_ = c.MarkFlagRequired("socket") // the flag was defined above
	return c
}

// openDnsmasq makes a source of dnsmasq.
func openDnsmasq(name string, c *config.Dnsmasq, log *slog.Logger) (feederSource, error) {
	links, err := sourceLinks(c.Links)
	if err != nil {
		return feederSource{}, err
	}
	s, err := dnsmasq.New(dnsmasq.Config{Leases: c.Leases, Socket: c.Socket, State: c.State, Links: links, Resync: orElseResync(c.Resync), Logger: log})
	return feederSource{name: name, source: s}, err
}
