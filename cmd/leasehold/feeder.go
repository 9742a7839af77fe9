package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/leasehold/leasehold/cluster/health"
	"github.com/leasehold/leasehold/cmd/leasehold/config"
	"github.com/leasehold/leasehold/feed"
	"github.com/leasehold/leasehold/feed/kea"
)

// feederPause is how long an agent rests that the cluster refuses (too many sources, a name that it does not take).
const feederPause = time.Minute

// feederStop is how long a stop may take at the most, for systemd to know.
const feederStop = 20 * time.Second

// feederProcess is a process that feeds a cluster from DHCP servers: an agent for each source.
type feederProcess struct {
	cfg        config.Feeder
	log        *slog.Logger
	sources    []feederSource
	metrics    *feed.Metrics
	listener   net.Listener // nil where HTTP is off
	health     *health.Server
	supervisor supervisor
	running    *running
}

// feederSource is a source of the configuration with what it listens on.
type feederSource struct {
	name   string
	source feed.Source
	again  *feed.PersistentSource      // the source, begun again whenever it is due
	serve  func(context.Context) error // what it listens with, until ctx ends; nil: with nothing
	close  func() error                // closes what it opened; nil: nothing
}

// assembleFeeder opens every socket and builds everything. It starts nothing.
func assembleFeeder(cfg config.Feeder, log *slog.Logger) (_ *feederProcess, err error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	f := &feederProcess{cfg: cfg, log: log, metrics: feed.NewMetrics(registry), running: newRunning(len(cfg.Sources)), supervisor: supervisor{log}}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	servers := kea.NewMetrics(registry)
	for _, c := range cfg.Sources {
		about := log.With("source", c.Name)
		s, err := openSource(c, cfg.Cluster, about)
		if err != nil {
			return nil, fmt.Errorf("source %q: %w", c.Name, err)
		}
		s.again = feed.Persistent(s.source, about)
		if server, ok := s.source.(*kea.Server); ok {
			servers.Follow(c.Name, server)
		}
		f.sources = append(f.sources, s)
	}
	if cfg.HTTP.Listen == "" {
		return f, nil
	}
	if f.listener, err = net.Listen("tcp", cfg.HTTP.Listen); err != nil {
		return nil, fmt.Errorf("listen for http: %w", err)
	}
	f.health = health.New(f.reasons, nil, registry, log.With("part", "http"))
	if cfg.HTTP.Pprof {
		f.health.ServeProfiles()
	}
	return f, nil
}

// close closes what was opened. What runs has closed its own by then, which is no error.
func (f *feederProcess) close() error {
	var errs []error
	for _, s := range f.sources {
		if s.close != nil {
			errs = append(errs, s.close())
		}
	}
	if f.listener != nil {
		if err := f.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// run feeds until ctx ends. At a hangup every source states everything again.
func (f *feederProcess) run(ctx context.Context, hangup <-chan os.Signal) (err error) {
	defer func() { err = errors.Join(err, f.close()) }()
	failed := make(chan *part, len(f.sources)+1)
	servers := f.serve(failed)
	agents, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var running sync.WaitGroup
	for i := range f.sources {
		running.Go(func() { f.feed(agents, i) })
	}
	running.Go(func() { f.watchReadiness(agents) })
	running.Go(func() { f.again(agents, hangup) })
	f.supervisor.started()
	select {
	case <-ctx.Done():
	case broken := <-failed:
		f.log.Error("a part ended by itself; the agent stops", "part", broken.name, "error", broken.err)
	}
	f.supervisor.stopping(feederStop)
	for _, s := range servers { // while agents run: what they have taken is still answered
		err = errors.Join(err, s.stop())
	}
	cancel()
	running.Wait()
	return err
}

// again has every source state everything again at each hangup, until ctx ends.
func (f *feederProcess) again(ctx context.Context, hangup <-chan os.Signal) {
	for {
		select {
		case <-hangup:
			f.log.Info("SIGHUP: every source states everything again; the configuration is read at the next start")
			for _, s := range f.sources {
				s.again.Again()
			}
		case <-ctx.Done():
			return
		}
	}
}

// serve starts everything that listens.
func (f *feederProcess) serve(failed chan<- *part) (servers []*part) {
	if f.health != nil {
		servers = append(servers, start("http", failed, func(c context.Context) error { return f.health.Run(c, f.listener) }))
	}
	for _, s := range f.sources {
		if s.serve != nil {
			servers = append(servers, start("source "+s.name, failed, s.serve))
		}
	}
	return servers
}

// feed runs an agent for a source until ctx ends. One that ends by itself was refused, or its source has said everything.
func (f *feederProcess) feed(ctx context.Context, i int) {
	s := f.sources[i]
	log := f.log.With("source", s.name)
	for {
		c := feedConfig(s.name, f.cfg.Cluster, 0, f.log, nil) // the agent names its source itself
		c.Instance, c.Metrics = f.cfg.Instance, f.metrics
		agent, err := feed.New(c, s.again)
		if err != nil {
			log.Error("The agent cannot be made", "error", err)
			return
		}
		err = f.running.run(ctx, i, agent)
		if ctx.Err() != nil {
			return
		}
		log.Error("The agent has ended and will begin again", "error", err, "wait", feederPause)
		timer := time.NewTimer(feederPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}
