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
	catchUps prometheus.Counter
	missing  *prometheus.CounterVec

	subscriptions *prometheus.CounterVec
}

// lost is why a subscription was told DataMissing (RFC 7653 8.4.1).
type lost string

const (
	lostAtStart lost = "start-too-old"   // its start time lies before all that is kept
	lostAhead   lost = "start-ahead"     // its start time lies in the future
	lostMidway  lost = "pruned"          // what it had not been told of is no longer kept
	lostLinks   lost = "links-redefined" // its link-address selects other links
	lostState   lost = "state-restored"  // the state is older than what it was told of
)

// Names of the metrics.
const (
	MetricStatuses = "leasehold_leasequery_statuses_total"
	MetricQueries  = "leasehold_leasequery_queries_total"
	MetricClients  = "leasehold_leasequery_clients_total"
	MetricBindings = "leasehold_leasequery_bindings_total"
	MetricCatchUps = "leasehold_leasequery_catch_ups_total"
	MetricMissing  = "leasehold_leasequery_data_missing_total"
	MetricAccepted = "leasehold_leasequery_subscriptions_total"
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
		catchUps: prometheus.NewCounter(prometheus.CounterOpts{Name: MetricCatchUps,
			Help: "Subscriptions that were told of all changes since their start time (CatchUpComplete)."}),
		missing: prometheus.NewCounterVec(prometheus.CounterOpts{Name: MetricMissing,
			Help: "Times that a subscription was told DataMissing, by reason."}, []string{"reason"}),
		subscriptions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: MetricAccepted,
			Help: "Subscriptions accepted (RFC 7653), by query-type; everything where it has none."}, []string{"type"}),
	}
	if r != nil {
		r.MustRegister(m.statuses, m.queries, m.clients, m.bindings, m.catchUps, m.missing, m.subscriptions)
	}
	return m
}

func (m *Metrics) lost(why lost)           { m.missing.WithLabelValues(string(why)).Inc() }
func (m *Metrics) caughtUp()               { m.catchUps.Inc() }
func (m *Metrics) refused(s dhcpv6.Status) { m.statuses.WithLabelValues(s.String()).Inc() }

// told counts one answer that is over.
func (m *Metrics) told(q dhcpv6.QueryType, clients, bindings uint64) {
	m.queries.WithLabelValues(typeLabel(q)).Inc()
	m.add(clients, bindings)
}

// subscribed counts a subscription that was accepted.
func (m *Metrics) subscribed(q dhcpv6.QueryType) {
	label := "everything"
	if q != 0 {
		label = typeLabel(q)
	}
	m.subscriptions.WithLabelValues(label).Inc()
}

// add counts what was told.
func (m *Metrics) add(clients, bindings uint64) {
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
