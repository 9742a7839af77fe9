package starttls

import "github.com/prometheus/client_golang/prometheus"

// Names of the metrics.
const (
	MetricNotAfter   = "leasehold_tls_certificate_not_after_seconds"
	MetricCANotAfter = "leasehold_tls_requestor_ca_not_after_seconds"
	MetricReloads    = "leasehold_tls_reloads_total"
	MetricHandshakes = "leasehold_tls_handshakes_total"
	metricResult     = "result"
)

// Metrics counts what the server's side of TLS does.
type Metrics struct {
	notAfter, caNotAfter prometheus.Gauge
	reloads, handshakes  *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them; with a nil registry they are counted and shown to nobody.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	results := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{metricResult})
	}
	m := &Metrics{
		notAfter:   gauge(MetricNotAfter, "When the first certificate of the chain that is shown to requestors ends, in Unix seconds."),
		caNotAfter: gauge(MetricCANotAfter, "When the first certificate that requestors' are verified by ends, in Unix seconds."),
		reloads:    results(MetricReloads, "Changed certificate files that were read: ok, or failed and the former ones are kept."),
		handshakes: results(MetricHandshakes, "TLS handshakes with requestors (RFC 7653 9.1), by how they ended."),
	}
	if registry != nil {
		registry.MustRegister(m.notAfter, m.caNotAfter, m.reloads, m.handshakes)
	}
	return m
}
