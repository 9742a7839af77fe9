package feed

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Names of the metrics. Each has the label source; times are in seconds, instants since 1970.
const (
	MetricConnected  = "leasehold_feed_connected"
	MetricReady      = "leasehold_feed_ready"
	MetricTrouble    = "leasehold_feed_trouble"
	MetricLag        = "leasehold_feed_lag_seconds"
	MetricLastChange = "leasehold_feed_last_change_timestamp_seconds"
	MetricLastResync = "leasehold_feed_last_resync_timestamp_seconds"
	MetricSkew       = "leasehold_feed_server_skew_seconds"
	MetricRefused    = "leasehold_feed_refused_total"
	MetricChanges    = "leasehold_feed_changes_total"
	MetricBatches    = "leasehold_feed_batches_total"
	MetricSessions   = "leasehold_feed_sessions_total"
	MetricEpochs     = "leasehold_feed_epochs_total"
	MetricResyncs    = "leasehold_feed_resyncs_total"
)

// describeMetrics is what there is to see: names, what they mean, and labels beside source.
func describeMetrics() map[string]*prometheus.Desc {
	out := map[string]*prometheus.Desc{}
	for _, m := range []struct{ name, help, label string }{
		{MetricConnected, "Whether this node of the cluster has the session (1) or not (0).", "node"},
		{MetricReady, "Whether there is a session and the cluster has acknowledged everything that the server has.", ""},
		{MetricTrouble, "Whether something keeps the source from its server.", ""},
		{MetricLag, "Age of the oldest change that is not acknowledged; 0 when all are.", ""},
		{MetricLastChange, "When the source stated its newest change.", ""},
		{MetricLastResync, "When the cluster acknowledged the end of a resync last.", ""},
		{MetricSkew, "The server's clock minus this machine's; absent while it is not measured.", ""},
		{MetricRefused, "Changes that the cluster refused (by=cluster) and records of the server that could not be used (by=source).", "by"},
		{MetricChanges, "What changes came to in the cluster: changed, unchanged, ignored, swept.", "outcome"},
		{MetricBatches, "Batches sent, those sent again included.", ""},
		{MetricSessions, "Sessions that a node welcomed.", ""},
		{MetricEpochs, "Times that the source was asked to begin; each after the first because the cluster had lost the session.", ""},
		{MetricResyncs, "Resyncs whose end was acknowledged.", ""},
	} {
		labels := []string{"source"}
		if m.label != "" {
			labels = append(labels, m.label)
		}
		out[m.name] = prometheus.NewDesc(m.name, m.help, labels, nil)
	}
	return out
}

// Metrics shows agents to Prometheus: of each source, the agent that was run last.
type Metrics struct {
	descs  map[string]*prometheus.Desc
	mu     sync.Mutex
	agents map[string]*Agent
}

// NewMetrics registers the metrics of any number of agents (Config.Metrics); with a nil registry nobody reads them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{descs: describeMetrics(), agents: map[string]*Agent{}}
	if r != nil {
		r.MustRegister(m)
	}
	return m
}

// follow shows an agent from now on.
func (m *Metrics) follow(a *Agent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.agents[a.config.Source] = a
}

// Describe tells the names.
func (m *Metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range m.descs {
		out <- d
	}
}

// Collect reads every agent.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for source, a := range m.agents {
		a.collect(collector{source: source, descs: m.descs, out: out})
	}
}

// collector sends the values of one source.
type collector struct {
	source string
	descs  map[string]*prometheus.Desc
	out    chan<- prometheus.Metric
}

func (c collector) gauge(name string, v float64, labels ...string) {
	c.out <- prometheus.MustNewConstMetric(c.descs[name], prometheus.GaugeValue, v, append([]string{c.source}, labels...)...)
}

func (c collector) count(name string, v uint64, labels ...string) {
	c.out <- prometheus.MustNewConstMetric(c.descs[name], prometheus.CounterValue, float64(v), append([]string{c.source}, labels...)...)
}

func (c collector) instant(name string, t time.Time) {
	if !t.IsZero() {
		c.gauge(name, float64(t.UnixMilli())/1000)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (a *Agent) collect(c collector) {
	s, t := a.Status(), a.Totals()
	shown := map[string]bool{}
	for _, node := range a.config.Cluster {
		if !shown[node] {
			shown[node] = true
			c.gauge(MetricConnected, truth(node == s.Node), node)
		}
	}
	c.gauge(MetricReady, truth(len(a.Reasons()) == 0))
	c.gauge(MetricTrouble, truth(s.Condition.Trouble != ""))
	c.gauge(MetricLag, s.Lag.Seconds())
	c.instant(MetricLastChange, s.LastChange)
	c.instant(MetricLastResync, s.LastResync)
	if s.Condition.Measured {
		c.gauge(MetricSkew, s.Condition.Skew.Seconds())
	}
	c.count(MetricRefused, t.Refused, "cluster")
	c.count(MetricRefused, s.Condition.Refused, "source")
	c.count(MetricChanges, t.Counts.Changed, "changed")
	c.count(MetricChanges, t.Counts.Unchanged, "unchanged")
	c.count(MetricChanges, t.Counts.Ignored, "ignored")
	c.count(MetricChanges, t.Counts.Swept, "swept")
	c.count(MetricBatches, t.Batches)
	c.count(MetricSessions, t.Sessions)
	c.count(MetricEpochs, t.Epochs)
	c.count(MetricResyncs, t.Resyncs)
}
