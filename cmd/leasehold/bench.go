package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/leasehold/leasehold/cmd/leasehold/ladder"
)

func benchCommand() *cobra.Command {
	var out, dir string
	var c ladder.Config
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a cluster on this machine, beside references from the same run",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if c.Bindings < 2000 || c.Relays < 1 {
				return errors.New("want at least 2000 bindings and 1 relay")
			}
			if c.Dir, err = os.MkdirTemp(dir, "leasehold-bench-"); err != nil {
				return fmt.Errorf("make a folder for the cluster: %w", err)
			}
			defer func() { err = errors.Join(err, os.RemoveAll(c.Dir)) }()
			if c.Binary, err = os.Executable(); err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			begin := time.Now()
			c.Say = func(format string, args ...any) {
				fmt.Fprintf(cmd.ErrOrStderr(), "%6.1f s  %s\n", time.Since(begin).Seconds(), fmt.Sprintf(format, args...))
			}
			rows, err := ladder.Run(cmd.Context(), c)
			if err != nil {
				return err
			}
			if out != "" {
				if err := ladder.Write(out, rows); err != nil {
					return err
				}
			}
			return ladder.Print(cmd.OutOrStdout(), rows)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "write the figures as JSON to this file, too")
	cmd.Flags().StringVar(&dir, "dir", "", "where the cluster keeps its logs: the disk to measure (default: the system's temporary folder)")
	cmd.Flags().IntVar(&c.Bindings, "bindings", 2_000_000, "with how many bindings to measure memory; half of them for ingest and restart")
	cmd.Flags().IntVar(&c.Relays, "relays", 10, "behind how many relays they are")
	return cmd
}
