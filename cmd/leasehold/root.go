package main

import (
	"fmt"

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
		serverCommand(version), devCommand(), demoCommand(), queryCommand(), watchCommand(), statusCommand(), membersCommand(), joinCommand(),
		leaveCommand(), removeCommand(), transferCommand(), recoverCommand(), snapshotCommand(), bindingsCommand(), sourcesCommand(), linksCommand(), feedCommand(),
		readyCommand(), deployCommand(), configCommand(), tlsCommand(), versionCommand(version), manCommand(), benchCommand(),
	)
	root.SetFlagErrorFunc(withUsage)
	tellUsage(root)
	return root
}

// tellUsage lets every command that is given the wrong arguments say which it wants.
func tellUsage(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return withUsage(c, err)
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		tellUsage(sub)
	}
}

// withUsage adds to an error how the command is called.
func withUsage(c *cobra.Command, err error) error {
	return fmt.Errorf("%w\nusage: %s\nmore:  %s --help", err, c.UseLine(), c.CommandPath())
}
