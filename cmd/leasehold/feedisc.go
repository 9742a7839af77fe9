package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/leasehold/leasehold/cmd/leasehold/config"
	"github.com/leasehold/leasehold/feed/iscdhcp"
)

func feedISCCommand() *cobra.Command {
	var f feederFlags
	var i config.ISC
	c := &cobra.Command{
		Use:     "isc-dhcp --leases FILE --source NAME",
		Short:   "Feed the leases of ISC dhcpd 4.4",
		Long:    "Follow the lease file of ISC dhcpd (dhcpd6.leases). It has relay data only with the recipe in deploy/examples/iscdhcp.",
		Example: "  leasehold feed isc-dhcp --leases /var/lib/dhcp/dhcpd6.leases --dhcpd-config /etc/dhcp/dhcpd6.conf --source isc-a",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			i.Resync = f.resync
			return f.run(cmd, config.Source{ISC: &i})
		},
	}
	f.add(c, true)
	c.Flags().StringVar(&i.Leases, "leases", "", "dhcpd's lease file")
	c.Flags().StringVar(&i.Config, "dhcpd-config", "", "dhcpd's configuration file, whose subnets and shared networks become links")
	_ = c.MarkFlagRequired("leases") // the flag was defined above
	return c
}

// openISC makes a source of ISC dhcpd.
func openISC(name string, c *config.ISC, log *slog.Logger) (feederSource, error) {
	s, err := iscdhcp.New(iscdhcp.Config{Leases: c.Leases, Config: c.Config, Resync: orElseResync(c.Resync), Logger: log})
	return feederSource{name: name, source: s}, err
}
