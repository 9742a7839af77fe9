package kea

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Names of the metrics. Each has the label source.
const (
	MetricPushRequests   = "leasehold_feed_kea_push_requests_total"
	MetricPushUnread     = "leasehold_feed_kea_push_unread_total"
	MetricPushLate       = "leasehold_feed_kea_push_late_total"
	MetricPushTurned     = "leasehold_feed_kea_push_connections_turned_total"
	MetricPushedLeases   = "leasehold_feed_kea_pushed_leases_total"
	MetricDegradedLeases = "leasehold_feed_kea_degraded_leases_total"
	MetricLeftOut        = "leasehold_feed_kea_left_out_total"
	MetricAskedLeases    = "leasehold_feed_kea_asked_leases_total"
	MetricPossibleGaps   = "leasehold_feed_kea_gaps_total"
)

// serverMetric is a number of ServerTotals that is shown.
type serverMetric struct {
	name, help string
	value      func(*ServerTotals) uint64
	desc       *prometheus.Desc
}

// serverMetrics is what there is to see of a Server. What feed shows of every source is not among it.
func serverMetrics() []serverMetric {
	all := []serverMetric{
		{name: MetricPushRequests, help: "Requests of Kea and others at push, also those that could not be read.", value: func(t *ServerTotals) uint64 { return t.Requests }},
		{name: MetricPushUnread, help: "Requests at push that could not be read.", value: func(t *ServerTotals) uint64 { return t.Unread }},
		{name: MetricPushLate, help: "Requests at push that Kea was told to be lost, because the cluster did not acknowledge in time; stated all the same.", value: func(t *ServerTotals) uint64 { return t.Late }},
		{name: MetricPushTurned, help: "Connections at push that were closed because there were too many.", value: func(t *ServerTotals) uint64 { return t.Turned }},
		{name: MetricPushedLeases, help: "Leases and ends that arrived at push.", value: func(t *ServerTotals) uint64 { return t.Pushed }},
		{name: MetricDegradedLeases, help: "Leases stated without relay data or name, which could not be used.", value: func(t *ServerTotals) uint64 { return t.Degraded }},
		{name: MetricLeftOut, help: "News left out because newer news of the same address was known.", value: func(t *ServerTotals) uint64 { return t.LeftOut }},
		{name: MetricAskedLeases, help: "Leases that Kea was asked for because nobody could tell which news was the newest.", value: func(t *ServerTotals) uint64 { return t.Asked }},
		{name: MetricPossibleGaps, help: "Times that something may have been missed; a full statement follows each.", value: func(t *ServerTotals) uint64 { return t.Gaps }},
	}
	for i := range all {
		all[i].desc = prometheus.NewDesc(all[i].name, all[i].help, []string{"source"}, nil)
	}
	return all
}

// Metrics shows Servers to Prometheus.
type Metrics struct {
	metrics []serverMetric

	mu      sync.Mutex
	servers map[string]*Server
}

// NewMetrics registers the metrics of any number of Servers; with a nil registry nobody reads them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{metrics: serverMetrics(), servers: map[string]*Server{}}
	if r != nil {
		r.MustRegister(m)
	}
	return m
}

// Follow shows a Server as that of a source from now on.
func (m *Metrics) Follow(source string, s *Server) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.servers[source] = s
}

// Describe tells the names.
func (m *Metrics) Describe(out chan<- *prometheus.Desc) {
	for _, shown := range m.metrics {
		out <- shown.desc
	}
}

// Collect reads every Server.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for source, server := range m.servers {
		t := server.Totals()
		for _, shown := range m.metrics {
			out <- prometheus.MustNewConstMetric(shown.desc, prometheus.CounterValue, float64(shown.value(&t)), source)
		}
	}
}
