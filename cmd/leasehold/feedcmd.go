package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/leasehold/leasehold/cluster/rpc"
	"github.com/leasehold/leasehold/cmd/leasehold/config"
)

func feedCommand() *cobra.Command {
	var file string
	var sets []string
	c := &cobra.Command{
		Use:   "feed --config FILE",
		Short: "Feed a cluster with the leases of DHCP servers",
		Long: "Feed a cluster with the leases of DHCP servers. It runs where the servers' leases can be read, or across the network from\n" +
			"them, and speaks to any node. The file says which servers; `leasehold config reference --feed` prints every key. For one\n" +
			"server its own command does as well.\n\n" +
			"SIGTERM or an interrupt ends it. It has no state to lose: when it starts again it compares everything. SIGHUP has it compare\n" +
			"everything at once.",
		Example:     "  leasehold feed --config /etc/leasehold/feed.yaml",
		Args:        cobra.NoArgs,
		Annotations: map[string]string{reloads: "SIGHUP"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return withUsage(cmd, errors.New("give --config, or one of the commands"))
			}
			cfg, warnings, err := config.LoadFeeder(file, sets)
			if err != nil {
				return err
			}
			hangup := make(chan os.Signal, 1)
			signal.Notify(hangup, syscall.SIGHUP)
			defer signal.Stop(hangup)
			return runFeeder(cmd, cfg, file, warnings, hangup)
		},
	}
	c.Flags().StringVar(&file, "config", "", "the agent's configuration file")
	c.Flags().StringArrayVar(&sets, "set", nil, "lay key=value over the file")
	c.AddCommand(feedKeaCommand(), feedISCCommand(), feedDnsmasqCommand(), feedUpstreamCommand(), pushCommand())
	return c
}

// runFeeder runs the agents of a configuration until the command's context ends. At a hangup, which may be nil, they compare everything.
func runFeeder(cmd *cobra.Command, cfg config.Feeder, from string, warnings []config.Problem, hangup <-chan os.Signal) error {
	log := newLogger(cmd.ErrOrStderr(), cfg.Log)
	for _, w := range warnings {
		log.Warn("configuration", "from", from, "problem", w.String())
	}
	f, err := assembleFeeder(cfg, log)
	if err != nil {
		return err
	}
	return f.run(cmd.Context(), hangup)
}

// feederFlags are the flags of an agent with one source.
type feederFlags struct {
	source   string
	cluster  []string
	instance string
	http     string
	resync   time.Duration
	level    string
}

func (f *feederFlags) add(c *cobra.Command, resync bool) {
	fl := c.Flags()
	fl.StringVar(&f.source, "source", "", "name of the DHCP server, or of the pair that shares its leases")
	fl.StringSliceVar(&f.cluster, "cluster", []string{"127.0.0.1:5470"}, "gRPC addresses of nodes, host:port, tried in turn")
	fl.StringVar(&f.instance, "instance", "", "the agent's name among those that share a source (default: the host's name)")
	fl.StringVar(&f.http, "http", "", "serve /readyz and /metrics there, host:port")
	fl.StringVar(&f.level, "log", "info", "what is logged: debug, info, warn or error")
	if resync {
		fl.DurationVar(&f.resync, "resync", 0, "how often everything is stated again when nothing else asks for it (default 1h; Kea's command API alone: 1m)")
	}
	_ = c.MarkFlagRequired("source") // the flag was defined above
}

// run runs an agent for the source, whose name it gives it.
func (f *feederFlags) run(cmd *cobra.Command, s config.Source) error {
	cfg := config.DefaultFeeder()
	s.Name = f.source
	cfg.Cluster, cfg.Instance, cfg.HTTP.Listen, cfg.Log.Level, cfg.Sources = f.cluster, f.instance, f.http, f.level, []config.Source{s}
	warnings, err := cfg.Check()
	if err != nil {
		return err
	}
	return runFeeder(cmd, cfg, "command line", warnings, nil)
}

// dialNodes is how feeders connect to nodes.
func dialNodes() []grpc.DialOption {
	return append(rpc.Vigilant(), grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// onlyWith refuses flags that go with another one alone.
func onlyWith(cmd *cobra.Command, with string, flags ...string) error {
	for _, f := range flags {
		if cmd.Flags().Changed(f) {
			return withUsage(cmd, fmt.Errorf("--%s goes with --%s alone", f, with))
		}
	}
	return nil
}
