package main

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cmd/leasehold/config"
	"github.com/leasehold/leasehold/fsm"
	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/active"
	"github.com/leasehold/leasehold/protocol/bulk"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/starttls"
)

// nodeConfig is what the cluster package is told of the configuration.
func nodeConfig(cfg config.Config, version string) cluster.Config {
	c := cluster.DefaultConfig()
	c.Name, c.DataDir, c.Version = cfg.Name, cfg.DataDir, version
	c.ClusterName, c.BootstrapExpect, c.NonVoter = cfg.Cluster.Name, cfg.Cluster.BootstrapExpect, cfg.Cluster.NonVoter
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLease = cfg.Raft.HeartbeatTimeout, cfg.Raft.ElectionTimeout, cfg.Raft.LeaderLease
	c.SnapshotThreshold, c.SnapshotBytes, c.TrailingLogs = cfg.Raft.SnapshotThreshold, cfg.Raft.SnapshotBytes, cfg.Raft.TrailingLogs
	c.ReadHold, c.MaxStaleness = cfg.Read.Hold, cfg.Read.MaxStaleness
	c.ClockMaxStep = cfg.Cluster.ClockMaxStep
	c.ServerDUID, c.CatchUp = cfg.ServerDUIDBytes(), cfg.Active.CatchUp
	return c
}

// bulkConfig is what bulk leasequery is told of the configuration. credentials is nil where TLS is off.
func bulkConfig(cfg config.Config, credentials *starttls.Credentials) bulk.Config {
	perRequestor := cfg.Bulk.MaxConnectionsPerRequestor
	if perRequestor == 0 {
		perRequestor = cfg.Bulk.MaxConnections
	}
	return bulk.Config{
		MaxConnections: cfg.Bulk.MaxConnections, MaxConnectionsPerRequestor: perRequestor,
		MaxQueriesPerConnection: cfg.Bulk.MaxQueriesPerConnection, MaxQueriesPerRequestor: cfg.Bulk.MaxQueriesPerRequestor,
		IdleTimeout: cfg.Bulk.IdleTimeout, DataTimeout: cfg.Bulk.DataTimeout, MaxViewAge: cfg.Bulk.MaxViewAge,
		DrainTimeout: max(cfg.Drain.Timeout, 1), // 0 would be the default
		TLS:          bulkTLS(cfg.TLS, credentials),
		Active:       activeConfig(cfg.Active),
		Rate:         cfg.Bulk.Rate, Burst: cfg.Bulk.Burst,
	}
}

// activeConfig is what active leasequery is told of the configuration.
func activeConfig(cfg config.Active) active.Config {
	return active.Config{
		Enabled: cfg.Enabled, Insecure: cfg.Insecure,
		MaxSubscriptions: cfg.MaxSubscriptions, MaxSubscriptionsPerRequestor: cfg.MaxSubscriptionsPerRequestor,
		IdleInterval: cfg.IdleInterval, DataTimeout: cfg.DataTimeout,
	}
}

func bulkTLS(cfg config.TLS, credentials *starttls.Credentials) bulk.TLS {
	t := bulk.TLS{Credentials: credentials, HandshakeTimeout: cfg.HandshakeTimeout, MaxStrangers: cfg.MaxStrangers}
	if t.MaxStrangers == 0 {
		t.MaxStrangers = -1 // 0 would be the default
	}
	switch cfg.Mode {
	case config.TLSOptional:
		t.Mode = starttls.Optional
	case config.TLSRequired:
		t.Mode = starttls.Required
	}
	return t
}

// engineConfig is what leasequery is told of the configuration. A subscription is not ended by an election.
func engineConfig(cfg config.Config, m *leasequery.Metrics, log *slog.Logger) leasequery.Config {
	return leasequery.Config{
		RelayData: relayDataMode(cfg.RelayData.Mode), RelayDataPlace: relayDataPlace(cfg.RelayData.Place),
		Sensitive: optionCodes(cfg.Sensitive), ActiveSensitive: optionCodes(cfg.Active.Sensitive),
		MaxStaleness: max(cfg.Read.MaxStaleness, 2*(cfg.Raft.HeartbeatTimeout+cfg.Raft.ElectionTimeout)),
		Metrics:      m, Logger: log,
	}
}

// registerNodeMetrics lets the node's own state be read.
func registerNodeMetrics(r prometheus.Registerer, n *cluster.Node, m *fsm.FSM) {
	gauge := func(name, help string, f func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	gauge("leasehold_applied_index", "Raft index of the newest applied entry.", func() float64 { return float64(m.Applied()) })
	gauge("leasehold_bindings", "Bindings in force.", func() float64 {
		v := m.View()
		defer v.Release()
		return float64(v.Len())
	})
	gauge("leasehold_leader", "1 if this node leads and takes proposals.", func() float64 {
		if n.IsLeader() {
			return 1
		}
		return 0
	})
	gauge("leasehold_ready", "1 if relays should be sent to this node.", func() float64 {
		if len(n.Reasons()) == 0 {
			return 1
		}
		return 0
	})
	gauge("leasehold_fresh_seconds", "Age of the newest proof that this node had everything committed; -1 before the first.", func() float64 {
		d, ok := n.Fresh()
		if !ok {
			return -1
		}
		return d.Seconds()
	})
	gauge("leasehold_format_level", "Format level that is active in the log.", func() float64 { return float64(m.Level()) })
	gauge("leasehold_max_format_level", "Highest format level that this version reads.", func() float64 { return float64(m.MaxLevel()) })
	gauge("leasehold_checkpoint_index", "Raft index of the newest checkpoint, at which the nodes compare what they have applied; 0 before the first.", func() float64 {
		c, _ := m.Checkpoint()
		return float64(c.Index)
	})
	for kind := binding.ClientKind; kind <= binding.EndedKind; kind++ {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "leasehold_conflicts_total", ConstLabels: prometheus.Labels{"kind": kind.String()},
			Help: "Leases that a source stated without effect because another source says another thing (RFC 5007 4.3.4), since the node began.",
		}, func() float64 { return float64(m.ConflictTotals()[kind]) }))
	}
	gauge("leasehold_clock_seconds", "Cluster time, seconds since 1970.", func() float64 { return float64(n.Now()) / 1000 })
}
