package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/leasehold/leasehold/cmd/leasehold/config"
)

func configCommand() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Check configuration files and print the reference"}
	var sets []string
	var feeder bool
	check := &cobra.Command{
		Use:   "check FILE",
		Short: "Tell everything that is wrong with a configuration file",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			var warnings []config.Problem
			if feeder {
				var f config.Feeder
				f, warnings, err = config.LoadFeeder(args[0], sets)
				warnings = append(warnings, f.Absent()...)
			} else {
				_, warnings, err = config.Load(args[0], sets)
			}
			for _, w := range warnings {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: warning: %s\n", args[0], w)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: good\n", args[0])
			return err
		},
	}
	check.Flags().StringArrayVar(&sets, "set", nil, "lay key=value over the file")
	check.Flags().BoolVar(&feeder, "feed", false, "the file is an agent's, for leasehold feed")
	reference := &cobra.Command{
		Use:   "reference",
		Short: "Print the commented reference configuration",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text := config.Reference()
			if feeder {
				text = config.FeederReference()
			}
			_, err := cmd.OutOrStdout().Write(text)
			return err
		},
	}
	reference.Flags().BoolVar(&feeder, "feed", false, "that of an agent, for leasehold feed")
	c.AddCommand(check, reference)
	return c
}

func versionCommand(version string) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "leasehold %s\n", version)
			return err
		},
	}
}
