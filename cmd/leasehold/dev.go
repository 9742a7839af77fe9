package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
)

// devReadyTimeout is how long a cluster on this machine may take to be ready.
const devReadyTimeout = time.Minute

// devFlags holds the flags of the dev command.
type devFlags struct {
	dir   string
	nodes int
	kea   []string
	shift bool

	shiftSaid bool // whether the command line says anything about shift
	set       []string
}

func devCommand() *cobra.Command {
	var f devFlags
	c := &cobra.Command{
		Use:   "dev --data-dir FOLDER",
		Short: "Run a cluster on this machine, on loopback",
		Long: "Run a cluster on this machine: each node a process of its own on loopback ports. When all nodes are ready and every lease\n" +
			"file is committed, FOLDER/cluster.json says where everything listens. An interrupt stops the nodes that still run. A node\n" +
			"that was killed stays down; `leasehold server --config FILE` with its file brings it back.\n\n" +
			"Whoever asks from loopback may ask everything, over TCP and UDP. --set changes what nodes do as their configuration files\n" +
			"would: active.enabled=true and active.insecure=true let `leasehold watch` subscribe.",
		Example: "  leasehold dev --data-dir /tmp/leasehold --kea-leases /var/lib/kea/kea-leases6.csv\n" +
			"  leasehold dev --data-dir /tmp/leasehold --set active.enabled=true --set active.insecure=true --set bulk.max_connections=200",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.shiftSaid = cmd.Flags().Changed("shift-times")
			return f.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.dir, "data-dir", "", "folder for everything the cluster keeps")
	fl.IntVar(&f.nodes, "nodes", 3, "how many nodes")
	fl.StringArrayVar(&f.kea, "kea-leases", nil, "a Kea lease file to feed, as source dev")
	fl.BoolVar(&f.shift, "shift-times", false, "feed the files as if their newest transaction were now")
	fl.StringArrayVar(&f.set, "set", nil, "configuration key=value for every node")
	_ = c.MarkFlagRequired("data-dir") // the flag was defined above
	return c
}

func (f *devFlags) run(ctx context.Context, out io.Writer) (err error) {
	defer outliveReader()()
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	cluster, err := laptop.New(laptop.Config{Binary: binary, Dir: f.dir, Nodes: f.nodes, Set: f.set})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	ready, cancel := context.WithTimeoutCause(ctx, devReadyTimeout, fmt.Errorf("not ready within %v", devReadyTimeout))
	defer cancel()
	if err := cluster.Start(ready); err != nil {
		return stopped(ctx, err)
	}
	if err := f.feed(ctx, cluster, out); err != nil {
		return stopped(ctx, err)
	}
	if err := cluster.WriteFile(); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d nodes are ready; %s/cluster.json says where they listen\n", len(cluster.Nodes), f.dir)
	for _, n := range cluster.Nodes {
		fmt.Fprintf(out, "  %s  pid %d  leasequery %s  grpc %s  http %s\n", n.Name, n.PID, n.LeasequeryTCP, n.GRPC, n.HTTP)
	}
	grpc, lq := strings.Join(cluster.GRPC(), ","), strings.Join(cluster.Leasequery(), ",")
	fmt.Fprintf(out, "for example:\n  %[1]s status --cluster %[2]s\n  %[1]s bindings --cluster %[2]s\n  %[1]s query link-address 2001:db8:1003::1 --server %[3]s\n"+
		"an interrupt stops them all\n", os.Args[0], grpc, lq)
	<-ctx.Done()
	fmt.Fprintln(out, "stopping")
	return nil
}

// staleRatio is how many leases of a file must have run out for each in force before the file counts as an old one.
const staleRatio = 9

// feed states the lease files, if there are any. Files in which hardly anything is in force any more are old ones: unless that
// was forbidden they are replayed as if they were new, because on a laptop nobody wants an empty cluster.
func (f *devFlags) feed(ctx context.Context, cluster *laptop.Cluster, out io.Writer) error {
	if len(f.kea) == 0 {
		return nil
	}
	job := keaJob{files: f.kea, once: true, shift: f.shift, source: "dev", cluster: cluster.GRPC(), out: out, quiet: true}
	read, err := job.run(ctx)
	if err != nil || f.shiftSaid || read.Expired <= staleRatio*read.Leases {
		return err
	}
	fmt.Fprintln(out, "nearly all of these leases have run out: they are fed again as if the newest transaction were now (--shift-times=false keeps the times)")
	job.shift = true
	_, err = job.run(ctx)
	return err
}

// stopped is no error when an interrupt was the reason.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
