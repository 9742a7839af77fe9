package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/leasehold/leasehold/cluster/rpc"
	"github.com/leasehold/leasehold/feed"
	"github.com/leasehold/leasehold/feed/kea"
)

func feedCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "feed",
		Short: "Feed a cluster with the leases of a DHCP server",
		Long:  "Feed a cluster with the leases of a DHCP server. It runs where the server's leases can be read, and speaks to any node.",
	}
	c.AddCommand(feedKeaCommand(), pushCommand())
	return c
}

func feedKeaCommand() *cobra.Command {
	var j keaJob
	c := &cobra.Command{
		Use:   "kea --leases FILE --once --source NAME",
		Short: "Feed the leases of a Kea lease file",
		Long: "Read Kea's lease file (kea-leases6.csv, Kea 2.2 to 3.3, with what the lease file cleanup has set aside) and state all of it\n" +
			"to the cluster: what the file no longer has is removed there. A line that cannot be read is reported and left out.\n\n" +
			"Kea records the relay data that relays ask for only with \"store-extended-info\": true.",
		Example: "  leasehold feed kea --leases /var/lib/kea/kea-leases6.csv --kea-config /etc/kea/kea-dhcp6.conf \\\n" +
			"      --once --source kea-a --cluster 192.0.2.1:5470,192.0.2.2:5470",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			j.out = cmd.OutOrStdout()
			if !j.once {
				return errors.New("this version reads a lease file once and does not follow it: give --once, and run it again from a timer")
			}
			_, err := j.run(cmd.Context())
			return err
		},
	}
	fl := c.Flags()
	fl.StringArrayVar(&j.files, "leases", nil, "Kea's lease file")
	fl.BoolVar(&j.once, "once", false, "read the file once, then end")
	fl.StringVar(&j.keaConfig, "kea-config", "", "Kea's configuration file, whose subnets and shared networks become links")
	fl.BoolVar(&j.shift, "shift-times", false, "replay an old file as if its newest transaction were now")
	fl.StringVar(&j.source, "source", "", "name of the DHCP server, or of the pair that shares its leases")
	fl.StringSliceVar(&j.cluster, "cluster", []string{"127.0.0.1:5470"}, "gRPC addresses of nodes, host:port, tried in turn")
	fl.DurationVar(&j.giveUp, "give-up", 0, "end with an error when nothing was acknowledged for so long; 0 tries for ever")
	fl.BoolVarP(&j.quiet, "quiet", "q", false, "show no progress, and tell only of trouble")
	for _, name := range []string{"leases", "source"} {
		_ = c.MarkFlagRequired(name) // the flag was defined above
	}
	return c
}

// keaJob feeds Kea lease files, once.
type keaJob struct {
	files     []string
	keaConfig string
	once      bool
	shift     bool
	source    string
	cluster   []string
	giveUp    time.Duration
	quiet     bool
	out       io.Writer
}

// run feeds the files and tells what was found in them.
func (j *keaJob) run(ctx context.Context) (kea.Totals, error) {
	level := slog.LevelInfo
	if j.quiet {
		level = slog.LevelWarn
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	var progress feed.Progress
	if !j.quiet {
		progress = newProgress(os.Stderr)
	}
	memfile, err := kea.NewMemfile(kea.Config{Files: j.files, KeaConfig: j.keaConfig, ShiftTimes: j.shift, Logger: log, Progress: progress})
	if err != nil {
		return kea.Totals{}, err
	}
	begin := time.Now()
	agent, err := runAgent(ctx, feedConfig(j.source, j.cluster, j.giveUp, log, progress), memfile)
	if err != nil {
		return kea.Totals{}, err
	}
	read, fed, took := memfile.Totals(), agent.Totals(), time.Since(begin)
	_, err = fmt.Fprintf(j.out, "source %s: %d leases and %d links in %v (%.0f leases/s): %d changed, %d as before, %d ignored, %d removed; "+
		"of %d lines %d skipped, %d superseded, %d ended, %d expired\n",
		j.source, read.Leases, read.Links, took.Round(time.Millisecond), float64(read.Leases)/took.Seconds(), fed.Counts.Changed, fed.Counts.Unchanged,
		fed.Counts.Ignored, fed.Counts.Swept, read.Rows, read.Skipped, read.Superseded, read.Ended, read.Expired)
	return read, err
}

// feedConfig is how every source of this program is fed.
func feedConfig(source string, cluster []string, giveUp time.Duration, log *slog.Logger, progress feed.Progress) feed.Config {
	return feed.Config{Source: source, Cluster: cluster, GiveUp: giveUp, Logger: log, Progress: progress,
		DialOptions: append(rpc.Vigilant(), grpc.WithTransportCredentials(insecure.NewCredentials()))}
}

// runAgent feeds a source until it has said everything.
func runAgent(ctx context.Context, c feed.Config, s feed.Source) (*feed.Agent, error) {
	agent, err := feed.New(c, s)
	if err != nil {
		return nil, err
	}
	return agent, agent.Run(ctx)
}
