package main

import (
	"github.com/spf13/cobra"
)

// newRoot builds the command tree. Each verb is in a file of its own.
func newRoot(version string) *cobra.Command {
	root := &cobra.Command{
		Use:   "leasehold",
		Short: "Highly available DHCPv6 leasequery",
		Long: "Leasehold keeps the leases of your DHCPv6 servers in a replicated cluster and answers relays' leasequeries\n" +
			"(RFC 5460) from whichever node is alive.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version,
	}
	root.SetVersionTemplate("leasehold {{.Version}}\n")
	root.AddCommand(
		serverCommand(version), devCommand(), demoCommand(), queryCommand(), statusCommand(), membersCommand(), joinCommand(),
		leaveCommand(), removeCommand(), transferCommand(), bindingsCommand(), sourcesCommand(), linksCommand(), feedCommand(),
		configCommand(), versionCommand(version), manCommand(), benchCommand(),
	)
	return root
}
