package bulk

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/leasehold/leasehold/protocol/active"
)

// Names of the metrics, shared with tests and dashboards.
const (
	MetricConnections   = "leasehold_bulk_connections"
	MetricStrangers     = "leasehold_bulk_strangers"
	MetricAccepted      = "leasehold_bulk_connections_accepted_total"
	MetricRefused       = "leasehold_bulk_connections_refused_total"
	MetricClosed        = "leasehold_bulk_connections_closed_total"
	MetricAcceptErrors  = "leasehold_bulk_accept_errors_total"
	MetricRunning       = "leasehold_bulk_queries_running"
	MetricQueries       = "leasehold_bulk_queries_total"
	MetricDiscarded     = "leasehold_bulk_messages_discarded_total"
	MetricTerminated    = "leasehold_bulk_queries_terminated_total"
	MetricMessages      = "leasehold_bulk_messages_sent_total"
	MetricOctets        = "leasehold_bulk_octets_sent_total"
	MetricPaced         = "leasehold_bulk_queries_paced_total"
	MetricQuerySeconds  = "leasehold_bulk_query_seconds"
	metricLabelOfReason = "reason"
)

// Metrics counts what the server does. All of its methods and fields are for the server; read it through its registry.
type Metrics struct {
	connections  prometheus.Gauge
	strangers    prometheus.Gauge
	accepted     prometheus.Counter
	refused      *prometheus.CounterVec
	closed       *prometheus.CounterVec
	acceptErrors prometheus.Counter
	running      prometheus.Gauge
	queries      prometheus.Counter
	discarded    *prometheus.CounterVec
	terminated   *prometheus.CounterVec
	messages     prometheus.Counter
	octets       prometheus.Counter
	paced        prometheus.Counter
	seconds      prometheus.Histogram
	active       *active.Metrics
}

// NewMetrics makes the server's metrics and registers them; with a nil registry they are counted and shown to nobody.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	byReason := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{metricLabelOfReason})
	}
	m := &Metrics{
		connections:  gauge(MetricConnections, "Open bulk leasequery connections, limited by BULK_LQ_MAX_CONNS (RFC 5460 7.1)."),
		strangers:    gauge(MetricStrangers, "Open connections of strangers that have not shown a certificate yet (RFC 7653 9.1)."),
		accepted:     counter(MetricAccepted, "Connections accepted from permitted requestors (RFC 5460 7.1), and with TLS on from strangers."),
		refused:      byReason(MetricRefused, "Connections closed at accept: stranger, BULK_LQ_MAX_CONNS or requestor limit (RFC 5460 7.1), or not able to answer yet."),
		closed:       byReason(MetricClosed, "Connections ended, by reason; stalled and frame-timeout are BULK_LQ_DATA_TIMEOUT (RFC 5460 5.6, 7.4)."),
		acceptErrors: counter(MetricAcceptErrors, "Errors of the listening socket, such as no file descriptor left."),
		running:      gauge(MetricRunning, "LEASEQUERY messages whose answer has not been sent whole (RFC 5460 7.3)."),
		queries:      counter(MetricQueries, "LEASEQUERY messages answered or being answered (RFC 5460 7.2)."),
		discarded:    byReason(MetricDiscarded, "Messages discarded without an answer, by reason (RFC 8415 16, RFC 5007 4.4.1)."),
		terminated:   byReason(MetricTerminated, "Answers ended early with a status, mostly QueryTerminated, by reason (RFC 5460 5.5, 7.4)."),
		messages:     counter(MetricMessages, "LEASEQUERY-REPLY, LEASEQUERY-DATA, LEASEQUERY-DONE and REPLY messages sent (RFC 5460 5.2)."),
		paced:        counter(MetricPaced, "LEASEQUERY and ACTIVELEASEQUERY messages that waited until their requestor's rate allowed them (RFC 5460 7.3)."),
		active:       active.NewMetrics(registry),
		octets:       counter(MetricOctets, "Octets sent, framing included (RFC 5460 5.1)."),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    MetricQuerySeconds,
			Help:    "Time from a LEASEQUERY's arrival until the last octet of its answer was handed to the kernel.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 10),
		}),
	}
	if registry != nil {
		registry.MustRegister(m.connections, m.strangers, m.accepted, m.refused, m.closed, m.acceptErrors, m.running, m.queries,
			m.discarded, m.terminated, m.messages, m.octets, m.paced, m.seconds)
	}
	return m
}
