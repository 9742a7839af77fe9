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

	"github.com/leasehold/leasehold/cmd/leasehold/config"
	"github.com/leasehold/leasehold/feed"
	"github.com/leasehold/leasehold/feed/kea"
)

func feedKeaCommand() *cobra.Command {
	var j keaJob
	var f feederFlags
	var k config.Kea
	var leases []string
	c := &cobra.Command{
		Use:   "kea [--leases FILE] [--control unix:PATH|URL] [--push HOST:PORT] --source NAME",
		Short: "Feed the leases of ISC Kea, 2.2 to 3.3",
		Long: "Feed the leases of ISC Kea by any combination of three ways: its lease file, followed; its command API (lease6-get-page of\n" +
			"the lease_cmds hook); and a listener that is a backup peer to its HA hook. docs/kea.md tells what each knows and needs.\n" +
			"Passwords and certificates are for the configuration file: leasehold feed --config.\n\n" +
			"With --once the lease files are read as they are, stated, and that is all: what the files no longer have is removed. A line\n" +
			"that cannot be read is reported and left out.\n\n" +
			"Kea records the relay data that relays ask for only with \"store-extended-info\": true.",
		Example: "  leasehold feed kea --leases /var/lib/kea/kea-leases6.csv --control unix:/run/kea/kea6-ctrl-socket \\\n" +
			"      --source kea-a --cluster 192.0.2.1:5470,192.0.2.2:5470\n" +
			"  leasehold feed kea --control http://192.0.2.10:8001/ --push 192.0.2.20:5478 --source kea-a --cluster 192.0.2.1:5470",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			j.out = cmd.OutOrStdout()
			j.files, j.keaConfig, j.source, j.cluster = leases, k.Config, f.source, f.cluster
			if j.once {
				return j.runOnce(cmd, k)
			}
			if err := onlyWith(cmd, "once", "shift-times", "give-up", "quiet"); err != nil {
				return err
			}
			if len(leases) > 1 {
				return withUsage(cmd, errors.New("several lease files can be read --once, and one followed"))
			} else if len(leases) == 1 {
				k.Leases = leases[0]
			}
			k.Resync = f.resync
			return f.run(cmd, config.Source{Kea: &k})
		},
	}
	f.add(c, true)
	fl := c.Flags()
	fl.StringArrayVar(&leases, "leases", nil, "Kea's lease file: followed, or with --once read")
	fl.StringVar(&k.Control.URL, "control", "", "Kea's command API: unix:PATH of its socket, or an http:// or https:// URL")
	fl.StringVar(&k.Push.Listen, "push", "", "listen there, host:port, as a backup peer of Kea's HA hook")
	fl.BoolVar(&k.Push.Early, "push-early", false, "answer Kea before the cluster has a change: faster, and only for wait-backup-ack false")
	fl.StringVar(&k.Config, "kea-config", "", "Kea's configuration file, whose subnets and shared networks become links")
	fl.BoolVar(&j.once, "once", false, "read the lease files once, then end")
	fl.BoolVar(&j.shift, "shift-times", false, "with --once: replay an old file as if its newest transaction were now")
	fl.DurationVar(&j.giveUp, "give-up", 0, "with --once: end with an error when nothing was acknowledged for so long; 0 tries for ever")
	fl.BoolVarP(&j.quiet, "quiet", "q", false, "with --once: show no progress, and tell only of trouble")
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

// runOnce is the command with --once.
func (j *keaJob) runOnce(cmd *cobra.Command, k config.Kea) error {
	if len(j.files) == 0 || k.Control.URL != "" || k.Push.Listen != "" {
		return withUsage(cmd, errors.New("--once reads lease files: give --leases, and neither --control nor --push"))
	}
	_, err := j.run(cmd.Context())
	return err
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
		DialOptions: dialNodes()}
}

// runAgent feeds a source until it has said everything.
func runAgent(ctx context.Context, c feed.Config, s feed.Source) (*feed.Agent, error) {
	agent, err := feed.New(c, s)
	if err != nil {
		return nil, err
	}
	return agent, agent.Run(ctx)
}
