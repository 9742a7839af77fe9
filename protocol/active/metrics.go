package active

import "github.com/prometheus/client_golang/prometheus"

// Names of the metrics, shared with tests and dashboards.
const (
	MetricSubscriptions = "leasehold_active_subscriptions"
	MetricStarted       = "leasehold_active_started_total"
	MetricRefused       = "leasehold_active_refused_total"
	MetricEnded         = "leasehold_active_ended_total"
	MetricMessages      = "leasehold_active_messages_total"
	MetricWrites        = "leasehold_active_writes_total"
	MetricIdle          = "leasehold_active_idle_messages_total"
)

// Metrics counts what becomes of subscriptions. Its fields are for those who hold one; read it through its registry.
type Metrics struct {
	subscriptions prometheus.Gauge
	Started       prometheus.Counter
	Refused       *prometheus.CounterVec // by reason
	Ended         *prometheus.CounterVec // by reason
	Messages      prometheus.Counter
	Writes        prometheus.Counter
	Idle          prometheus.Counter
}

// NewMetrics makes the metrics and registers them; with a nil registry they are counted and shown to nobody.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	byReason := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"reason"})
	}
	m := &Metrics{
		subscriptions: prometheus.NewGauge(prometheus.GaugeOpts{Name: MetricSubscriptions,
			Help: "Subscriptions that hold a place, limited by active.max_subscriptions (RFC 7653 9.4)."}),
		Started:  counter(MetricStarted, "ACTIVELEASEQUERY messages accepted, DataMissing included (RFC 7653 9.3)."),
		Refused:  byReason(MetricRefused, "ACTIVELEASEQUERY messages answered with an error status, by reason (RFC 7653 9.1 to 9.4)."),
		Ended:    byReason(MetricEnded, "Subscriptions ended, by reason; stalled is ACTIVE_LQ_SEND_TIMEOUT (RFC 7653 6.4, 9.5)."),
		Messages: counter(MetricMessages, "LEASEQUERY-REPLY and LEASEQUERY-DATA messages made for subscriptions, idle ones included (RFC 7653 6.2.3)."),
		Writes:   counter(MetricWrites, "Buffers of such messages that were handed to the kernel: a buffer holds what has changed since the one before."),
		Idle:     counter(MetricIdle, "LEASEQUERY-DATA messages without client data that say that the connection is alive (RFC 7653 8.4)."),
	}
	if registry != nil {
		registry.MustRegister(m.subscriptions, m.Started, m.Refused, m.Ended, m.Messages, m.Writes, m.Idle)
	}
	return m
}
