package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
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
		Long: "Run a node of a cluster. SIGTERM or an interrupt stops it in order: it turns not ready, hands over leadership, answers\n" +
			"for drain.delay while virtual addresses move, lets running answers end for drain.timeout and closes its log. A second\n" +
			"signal ends the delay, a third the running answers. It stays a member; `leasehold leave` is for good.\n\n" +
			"SIGHUP reads the files of TLS again; the node looks at them by itself every few seconds besides.",
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
	c.Annotations = map[string]string{reloads: "SIGHUP"}
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
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	n, err := assemble(cfg, version, log)
	if err != nil {
		return err
	}
	log.Info("node starts", "name", cfg.Name, "id", n.node.ID(), "version", version, "leasequery", n.listeners.leasequery.Addr().String(),
		"grpc", n.listeners.grpc.Addr().String(), "http", n.listeners.http.Addr().String())
	return n.run(ctx, hangup)
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

// parts are the servers of the process.
type parts struct {
	http, rpc, node, bulk *part
	tls                   *part // nil where TLS is off
	udp                   *part // nil where leasequery over UDP is off
}

// run runs everything that the process is made of until ctx ends, and then stops it in order. A hangup reads files again.
func (n *process) run(ctx context.Context, hangup <-chan os.Signal) error {
	failed := make(chan *part, 8)
	p := parts{
		http: start("http", failed, func(c context.Context) error { return n.health.Run(c, n.listeners.http) }),
		rpc:  start("grpc", failed, func(c context.Context) error { return n.rpc.Run(c, n.listeners.grpc) }),
		node: start("node", failed, n.node.Run),
		bulk: start("bulk leasequery", failed, func(c context.Context) error { return n.bulk.Run(c, n.listeners.leasequery) }),
	}
	if n.tls != nil {
		p.tls = start("TLS files", failed, n.tls.Run)
	}
	if n.udp != nil {
		p.udp = start("leasequery over UDP", failed, func(c context.Context) error { return n.udp.Run(c, n.listeners.udp...) })
	}
	watch, endWatch := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { n.watchReadiness(watch) })
	watching.Go(func() { boundHeadroom(watch) })
	watching.Go(func() { n.reloadOnHangup(watch, hangup) })
	n.supervisor.started()
	hurry := make(chan os.Signal, 2)
	defer signal.Stop(hurry)
	select {
	case <-ctx.Done():
		signal.Notify(hurry, os.Interrupt, syscall.SIGTERM) // the first one ended ctx
		n.drain(hurry, failed)
	case broken := <-failed:
		signal.Notify(hurry, os.Interrupt, syscall.SIGTERM)
		n.broke(broken)
	}
	err := n.stopAll(p, hurry)
	n.ending.Wait()
	endWatch()
	watching.Wait()
	n.log.Info("node has stopped", "took", n.drained().Round(time.Millisecond))
	return errors.Join(err, n.pool.Close())
}

// watchReadiness keeps the gRPC health service, and systemd, in step with /readyz.
func (n *process) watchReadiness(ctx context.Context) {
	var alive <-chan time.Time
	if every := n.supervisor.watchdog(); every > 0 {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		alive = ticker.C
	}
	for {
		changed := n.node.ReadinessChanged()
		reasons := n.node.Reasons()
		n.rpc.SetServing(len(reasons) == 0)
		n.supervisor.status(reasons)
		select {
		case <-changed:
		case <-alive:
			n.supervisor.alive()
		case <-ctx.Done():
			return
		}
	}
}
