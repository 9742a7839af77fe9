package ingest

import "github.com/prometheus/client_golang/prometheus"

// Names of the metrics.
const (
	MetricSessions  = "leasehold_ingest_sessions"
	MetricForwarded = "leasehold_ingest_forwarded_sessions_total"
	MetricChanges   = "leasehold_ingest_changes_total"
	MetricRefused   = "leasehold_ingest_refused_vpn_total"
	MetricChainless = "leasehold_ingest_long_relay_chains_total"
	MetricAcks      = "leasehold_ingest_acknowledgements_total"
	MetricInvalid   = "leasehold_ingest_invalid_batches_total"
	MetricRewinds   = "leasehold_ingest_rewinds_total"
)

// Metrics counts what is ingested here.
type Metrics struct {
	sessions  prometheus.Gauge
	forwarded prometheus.Counter
	changes   prometheus.Counter
	refused   prometheus.Counter
	chainless prometheus.Counter
	acks      prometheus.Counter
	invalid   prometheus.Counter
	rewinds   prometheus.Counter
}

// NewMetrics registers the metrics; with a nil registry nobody reads them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &Metrics{
		sessions:  prometheus.NewGauge(prometheus.GaugeOpts{Name: MetricSessions, Help: "Sessions of feeders on this node."}),
		forwarded: counter(MetricForwarded, "Sessions passed on to the leader."),
		changes:   counter(MetricChanges, "Changes proposed here, as leader."),
		refused:   counter(MetricRefused, "Bindings refused because a relay's OPTION_VSS (RFC 6607) names a virtual network."),
		chainless: counter(MetricChainless, "Bindings stored without their relay chain because it is over 32 levels or 16 KiB."),
		acks:      counter(MetricAcks, "Acknowledgements sent to feeders from here, as leader: each may cover several batches."),
		invalid:   counter(MetricInvalid, "Batches refused because they hold something that may not be stored."),
		rewinds:   counter(MetricRewinds, "Times that a feeder was asked to send again because a batch was missing."),
	}
	if r != nil {
		r.MustRegister(m.sessions, m.forwarded, m.changes, m.refused, m.chainless, m.acks, m.invalid, m.rewinds)
	}
	return m
}

// converted counts a converted batch.
func (m *Metrics) converted(c *converter) {
	m.changes.Add(float64(len(c.changes)))
	m.refused.Add(float64(c.refused))
	m.chainless.Add(float64(c.chainless))
}
