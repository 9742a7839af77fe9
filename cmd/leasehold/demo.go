package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
)

// demoTimeout bounds the whole demonstration.
const demoTimeout = 3 * time.Minute

// demoFlags holds the flags of the demo command.
type demoFlags struct {
	leases, keaConfig string
	generated         int
	keep              bool
}

func demoCommand() *cobra.Command {
	var f demoFlags
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show a cluster: feed it, ask it, kill its leader in the middle of an answer",
		Long: "Start a three-node cluster on this machine, feed it the leases that a real Kea wrote, ask every node by every query type,\n" +
			"over TCP and UDP, subscribe to the changes of a link, feed it many more leases behind one relay, kill the leader in the middle\n" +
			"of that relay's answer, and see the answer complete and the subscription go on elsewhere. Exit status 0 only if all of it held. Everything is removed at the end.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	fl := c.Flags()
	fl.StringVar(&f.leases, "kea-leases", "feed/kea/testdata/kea-3.3/kea-leases6.csv", "the Kea lease file")
	fl.StringVar(&f.keaConfig, "kea-config", "feed/kea/testdata/kea-3.3/kea.conf", "the configuration of that Kea")
	fl.IntVar(&f.generated, "generated", 200_000, "how many leases to generate behind one relay")
	fl.BoolVar(&f.keep, "keep", false, "keep the cluster's folder")
	return c
}

// demo is one run of the demonstration.
type demo struct {
	demoFlags
	ctx     context.Context
	out     io.Writer
	start   time.Time
	cluster *laptop.Cluster

	follower *demoFollower
	killed   string // where the node that was killed answered
}

func (f *demoFlags) run(ctx context.Context, out io.Writer) (err error) {
	defer outliveReader()()
	interrupted := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, demoTimeout, fmt.Errorf("the demonstration took longer than %v", demoTimeout))
	defer cancel()
	dir, err := os.MkdirTemp("", "leasehold-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the cluster: %w", err)
	}
	if f.keep {
		fmt.Fprintf(out, "everything is kept in %s\n", dir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	cluster, err := laptop.New(laptop.Config{Binary: binary, Dir: dir, Nodes: 3, Set: []string{"active.enabled=true", "active.insecure=true"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	d := &demo{demoFlags: *f, ctx: ctx, out: out, start: time.Now(), cluster: cluster}
	defer func() { d.follower.close() }()
	for _, step := range []func() error{d.startCluster, d.feedKea, d.askEverything, d.follow, d.feedGenerated, d.killTheLeader, d.followOn} {
		if err := step(); err != nil {
			if interrupted.Err() != nil {
				return errors.New("interrupted; the nodes are stopped")
			}
			return err
		}
	}
	d.say("all of it held")
	return nil
}

// say tells what happened, and when.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "%6.2f s  %s\n", time.Since(d.start).Seconds(), fmt.Sprintf(format, args...))
}

func (d *demo) startCluster() error {
	if err := d.cluster.Start(d.ctx); err != nil {
		return err
	}
	d.say("three nodes are ready: %s", d.cluster.Describe())
	return nil
}
