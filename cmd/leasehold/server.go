package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/leasehold/leasehold/cmd/leasehold/config"
)

func serverCommand(version string) *cobra.Command {
	var file string
	var sets []string
	c := &cobra.Command{
		Use:   "server --config FILE",
		Short: "Run a node of a cluster",
		Long: "Run a node of a cluster. SIGTERM or an interrupt stops it in order: it turns not ready, lets running answers end, hands\n" +
			"over leadership and closes its log. It stays a member; `leasehold leave` is for good.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, warnings, err := config.Load(file, sets)
			if err != nil {
				return err
			}
			log := newLogger(cmd.ErrOrStderr(), cfg.Log)
			for _, w := range warnings {
				log.Warn("configuration", "file", file, "problem", w.String())
			}
			return runServer(cmd.Context(), cfg, version, log)
		},
	}
	c.Flags().StringVar(&file, "config", "", "the node's configuration file")
	c.Flags().StringArrayVar(&sets, "set", nil, "lay key=value over the file")
	_ = c.MarkFlagRequired("config") // the flag was defined above
	return c
}

// newLogger is the node's log, on standard error.
func newLogger(w io.Writer, c config.Log) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // checked when the file was read
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// runServer runs a node until ctx ends, then stops it in order.
func runServer(ctx context.Context, cfg config.Config, version string, log *slog.Logger) error {
	n, err := assemble(cfg, version, log)
	if err != nil {
		return err
	}
	log.Info("node starts", "name", cfg.Name, "id", n.node.ID(), "version", version, "leasequery", n.listeners.leasequery.Addr().String(),
		"grpc", n.listeners.grpc.Addr().String(), "http", n.listeners.http.Addr().String())
	return n.run(ctx)
}

// part is one server of the process, with the means to end it by itself.
type part struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
	err    error // how it ended; read after done is closed
}

// start runs a part. If it ends before it is asked to, failed is told.
func start(name string, failed chan<- *part, run func(context.Context) error) *part {
	ctx, cancel := context.WithCancel(context.Background())
	p := &part{name: name, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = run(ctx)
		if ctx.Err() == nil {
			failed <- p
		}
	}()
	return p
}

// stop ends the part and waits for it.
func (p *part) stop() error {
	p.cancel()
	<-p.done
	if p.err != nil {
		return fmt.Errorf("%s: %w", p.name, p.err)
	}
	return nil
}

// run runs everything that the process is made of. The order of the end is the order in which relays notice least: not ready,
// wait for virtual addresses to move, end the answers, then leadership and log, then what others ask this node through.
func (n *process) run(ctx context.Context) error {
	failed := make(chan *part, 4)
	httpPart := start("http", failed, func(c context.Context) error { return n.health.Run(c, n.listeners.http) })
	rpcPart := start("grpc", failed, func(c context.Context) error { return n.rpc.Run(c, n.listeners.grpc) })
	nodePart := start("node", failed, n.node.Run)
	bulkPart := start("bulk leasequery", failed, func(c context.Context) error { return n.bulk.Run(c, n.listeners.leasequery) })
	watch, endWatch := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { n.watchReadiness(watch) })
	watching.Go(func() { boundHeadroom(watch) })
	select {
	case <-ctx.Done():
		n.log.Info("node stops")
		n.draining.Store(true)
		n.rpc.SetServing(false)
		pause(n.cfg.Drain.Delay, failed)
	case p := <-failed:
		n.log.Error("node cannot go on", "part", p.name, "err", p.err)
		n.draining.Store(true)
	}
	err := bulkPart.stop()
	n.ingest.Stop()
	err = errors.Join(err, nodePart.stop(), rpcPart.stop(), httpPart.stop())
	endWatch()
	watching.Wait()
	return errors.Join(err, n.pool.Close())
}

// pause waits for d, or until a part fails.
func pause(d time.Duration, failed chan *part) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case p := <-failed:
		failed <- p // whoever stops it tells its error
	}
}

// watchReadiness keeps the gRPC health service in step with /readyz.
func (n *process) watchReadiness(ctx context.Context) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		n.rpc.SetServing(len(n.reasons()) == 0)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// reasons is why relays should not be sent here.
func (n *process) reasons() []string {
	if n.draining.Load() {
		return []string{"draining"}
	}
	return n.node.Reasons()
}
