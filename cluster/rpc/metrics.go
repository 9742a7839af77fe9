package rpc

import (
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
)

// Names of the metrics.
const (
	MetricCalls   = "leasehold_grpc_calls_total"
	MetricRunning = "leasehold_grpc_calls_running"
)

// Metrics counts the calls that a server takes.
type Metrics struct {
	calls   *prometheus.CounterVec
	running prometheus.Gauge
}

// NewMetrics registers the metrics; with a nil registry nobody reads them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{Name: MetricCalls,
			Help: "gRPC calls that ended, by method and status code."}, []string{"method", "code"}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{Name: MetricRunning, Help: "gRPC calls that are running."}),
	}
	if r != nil {
		r.MustRegister(m.calls, m.running)
	}
	return m
}

// begin counts a call that runs; the function that it returns ends it.
func (m *Metrics) begin() (end func()) {
	m.running.Inc()
	return m.running.Dec
}

// ended counts a call that ended. Only methods that are served come here, so that there is a bounded number of series.
func (m *Metrics) ended(method string, code codes.Code) {
	m.calls.WithLabelValues(method, code.String()).Inc()
}
