package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	gometrics "github.com/hashicorp/go-metrics"
	gometricsprometheus "github.com/hashicorp/go-metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/admin"
	"github.com/leasehold/leasehold/cluster/health"
	"github.com/leasehold/leasehold/cluster/ingest"
	"github.com/leasehold/leasehold/cluster/membership"
	"github.com/leasehold/leasehold/cluster/rpc"
	"github.com/leasehold/leasehold/cmd/leasehold/config"
	"github.com/leasehold/leasehold/fsm"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
	peerv1 "github.com/leasehold/leasehold/proto/peer/v1"
	"github.com/leasehold/leasehold/protocol/bulk"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/starttls"
	"github.com/leasehold/leasehold/protocol/udp"
)

// process is everything that a node's process is made of.
type process struct {
	cfg       config.Config
	log       *slog.Logger
	listeners listeners
	pool      *rpc.Pool
	node      *cluster.Node
	rpc       *rpc.Server
	ingest    *ingest.Service
	bulk      *bulk.Server
	udp       *udp.Server           // nil where leasequery over UDP is off
	tls       *starttls.Credentials // nil where TLS is off
	health    *health.Server

	supervisor supervisor
	drainBegan atomic.Int64   // Unix nanoseconds; 0: no planned stop
	ending     sync.WaitGroup // of answers of a state that was found to be wrong
}

// listeners are the sockets of a node.
type listeners struct {
	raft, grpc, http, leasequery net.Listener
	udp                          []*net.UDPConn // none where leasequery over UDP is off
	raw6                         *net.IPConn    // nil where that or udp.raw_fragments is off, or it may not be opened
}

// listen opens every socket, so that a port that is taken is told before anything runs.
func listen(cfg config.Config) (l listeners, err error) {
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	for _, s := range []struct {
		name, addr string
		to         *net.Listener
	}{
		{"raft", cfg.Raft.Listen, &l.raft}, {"grpc", cfg.GRPC.Listen, &l.grpc}, {"http", cfg.HTTP.Listen, &l.http},
		{"leasequery", cfg.Leasequery.Listen.String(), &l.leasequery},
	} {
		if *s.to, err = net.Listen("tcp", s.addr); err != nil {
			return l, fmt.Errorf("listen for %s: %w", s.name, err)
		}
	}
	l.udp, err = listenUDP(cfg, l.leasequery.Addr())
	return l, err
}

func (l *listeners) close() {
	for _, x := range []net.Listener{l.raft, l.grpc, l.http, l.leasequery} {
		if x != nil {
			x.Close()
		}
	}
	for _, c := range l.udp {
		c.Close()
	}
	if l.raw6 != nil {
		l.raw6.Close()
	}
}

// assemble builds a node's process and opens its sockets. It starts nothing.
func assemble(cfg config.Config, version string, log *slog.Logger) (_ *process, err error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := collectRaftMetrics(registry); err != nil {
		return nil, err
	}
	policy, err := requestorPolicy(cfg)
	if err != nil {
		return nil, err
	}
	credentials, err := loadCredentials(cfg.TLS, registry, log)
	if err != nil {
		return nil, err
	}
	n := &process{cfg: cfg, log: log, pool: rpc.NewPool(), tls: credentials, supervisor: supervisor{log}}
	if n.listeners, err = listen(cfg); err != nil {
		return nil, errors.Join(err, n.pool.Close())
	}
	if len(n.listeners.udp) > 0 {
		n.listeners.raw6 = openRaw(cfg.UDP, log)
	}
	defer func() {
		if err != nil {
			n.listeners.close()
			err = errors.Join(err, n.pool.Close())
		}
	}()
	machine, err := n.assembleNode(version)
	if err != nil {
		return nil, err
	}
	n.assembleServices(machine, registry, policy)
	return n, nil
}

// assembleNode builds the state machine and the node around it.
func (n *process) assembleNode(version string) (*fsm.FSM, error) {
	clock := cluster.NewClock()
	machine := fsm.New(fsm.Config{
		Logger: n.log.With("part", "fsm"), Applied: clock.Applied, Halt: n.halt,
		Diverged: n.diverged, // Raft runs only after everything is assembled
	})
	c := nodeConfig(n.cfg, version)
	c.RaftAddress = orElse(n.cfg.Raft.Advertise, n.listeners.raft.Addr().String())
	c.GRPCAddress = orElse(n.cfg.GRPC.Advertise, n.listeners.grpc.Addr().String())
	deps := cluster.Deps{Logger: n.log.With("part", "cluster"), Clock: clock, Listener: n.listeners.raft, Peers: rpc.NewPeers(n.pool)}
	if len(n.cfg.Cluster.Join) > 0 || n.cfg.Cluster.BootstrapExpect != 1 {
		gossip, err := membership.New(membership.Config{
			Cluster: n.cfg.Cluster.Name, Bind: n.cfg.Gossip.Listen, Advertise: n.cfg.Gossip.Advertise, Join: n.cfg.Cluster.Join,
			PeersFile: filepath.Join(n.cfg.DataDir, cluster.PeersFile), Logger: n.log.With("part", "gossip"),
		})
		if err != nil {
			return nil, err
		}
		deps.Discovery = gossip
	}
	node, err := cluster.Open(c, machine, deps)
	if err != nil {
		return nil, err
	}
	n.node = node
	return machine, nil
}

// diverged takes the node out whose state machine was found to differ. Answers that run do not wait for the node's end.
func (n *process) diverged(err error) {
	n.node.Diverged(err)
	n.ending.Go(n.endAnswers)
}

// halt ends the process at an entry of the log that cannot be applied. To skip it would be to diverge: nothing may run after this.
func (n *process) halt(err error) {
	hint := "if others go on, empty data_dir so that the node joins anew"
	if errors.Is(err, fsm.ErrVersion) {
		hint = "start the newer version that the others run; data_dir stays as it is"
	}
	n.log.Error("an entry of the log cannot be applied; the node stops: "+hint, "err", err)
	os.Exit(1)
}

// assembleServices builds what others talk to.
func (n *process) assembleServices(machine *fsm.FSM, registry *prometheus.Registry, policy *leasequery.Policy) {
	n.rpc = rpc.NewServer(n.log.With("part", "grpc"), rpc.NewMetrics(registry))
	n.ingest = ingest.New(n.node, machine, n.pool, n.log.With("part", "ingest"), ingest.NewMetrics(registry))
	ingestv1.RegisterIngestServer(n.rpc, n.ingest)
	adminv1.RegisterAdminServer(n.rpc, admin.New(n.node, machine, n.ingest, rpc.NewPeers(n.pool), n.pool, n.log.With("part", "admin")))
	peerv1.RegisterPeerServer(n.rpc, rpc.NewPeerService(n.node))
	engine := leasequery.New(engineConfig(n.cfg, leasequery.NewMetrics(registry), n.log.With("part", "leasequery")), n.node)
	answering := bulkConfig(n.cfg, n.tls)
	answering.Answering = n.node.Ready()
	n.bulk = bulk.New(answering, engine, policy, n.log.With("part", "bulk"), bulk.NewMetrics(registry))
	n.assembleUDP(engine, policy, registry)
	registerNodeMetrics(registry, n.node, machine)
	n.registerDrainMetric(registry)
	n.health = health.New(n.node.Reasons, n.node.ReadinessChanged, registry, n.log.With("part", "http"))
	if n.cfg.HTTP.Pprof {
		n.health.ServeProfiles()
	}
}

// collectRaftMetrics lets the metrics of Raft and gossip arrive in the registry. They go through a global of their library.
func collectRaftMetrics(registry *prometheus.Registry) error {
	sink, err := gometricsprometheus.NewPrometheusSinkFrom(gometricsprometheus.PrometheusOpts{Registerer: registry})
	if err != nil {
		return fmt.Errorf("collect raft's metrics: %w", err)
	}
	c := gometrics.DefaultConfig("leasehold")
	c.EnableHostname, c.EnableRuntimeMetrics = false, false
	if _, err := gometrics.NewGlobal(c, sink); err != nil {
		return fmt.Errorf("collect raft's metrics: %w", err)
	}
	return nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
