package leasequery

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// Metrics counts what is answered. A nil registry makes one that nobody reads.
type Metrics struct {
	statuses *prometheus.CounterVec
	queries  *prometheus.CounterVec
	clients  prometheus.Counter
	bindings prometheus.Counter
}

// Names of the metrics.
const (
	MetricStatuses = "leasehold_leasequery_statuses_total"
	MetricQueries  = "leasehold_leasequery_queries_total"
	MetricClients  = "leasehold_leasequery_clients_total"
	MetricBindings = "leasehold_leasequery_bindings_total"
)

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		statuses: prometheus.NewCounterVec(prometheus.CounterOpts{Name: MetricStatuses,
			Help: "Answers that ended with OPTION_STATUS_CODE, by status."}, []string{"status"}),
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: MetricQueries,
			Help: "Queries answered, by query-type of OPTION_LQ_QUERY (RFC 5007 4.1.2.1)."}, []string{"type"}),
		clients: prometheus.NewCounter(prometheus.CounterOpts{Name: MetricClients,
			Help: "Clients told of in OPTION_CLIENT_DATA."}),
		bindings: prometheus.NewCounter(prometheus.CounterOpts{Name: MetricBindings,
			Help: "Bindings told of in OPTION_IAADDR and OPTION_IAPREFIX."}),
	}
	if r != nil {
		r.MustRegister(m.statuses, m.queries, m.clients, m.bindings)
	}
	return m
}

func (m *Metrics) refused(s dhcpv6.Status) { m.statuses.WithLabelValues(s.String()).Inc() }

// told counts one answer that is over.
func (m *Metrics) told(q dhcpv6.QueryType, clients, bindings uint64) {
	m.queries.WithLabelValues(typeLabel(q)).Inc()
	m.clients.Add(float64(clients))
	m.bindings.Add(float64(bindings))
}

// typeLabel is a query type as a label; all that are no types are one.
func typeLabel(q dhcpv6.QueryType) string {
	if q >= dhcpv6.QueryByAddress && q <= dhcpv6.QueryByRemoteID {
		return q.String()
	}
	return "unknown"
}
