package udp

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/leasehold/leasehold/protocol/leasequery"
)

// Names of the metrics, shared with tests and dashboards.
const (
	MetricReceived   = "leasehold_udp_datagrams_received_total"
	MetricDropped    = "leasehold_udp_datagrams_dropped_total"
	MetricDiscarded  = "leasehold_udp_messages_discarded_total"
	MetricAnswers    = "leasehold_udp_answers_total"
	MetricFragmented = "leasehold_udp_answers_fragmented_total"
	MetricOctets     = "leasehold_udp_octets_sent_total"
	MetricSendErrors = "leasehold_udp_send_errors_total"
	MetricReadErrors = "leasehold_udp_read_errors_total"
	MetricHeld       = "leasehold_udp_queries_held_total"
	MetricViews      = "leasehold_udp_views_total"
	MetricSeconds    = "leasehold_udp_answer_seconds"
)

// Why a datagram gets no answer, beside the reasons of leasequery.
const (
	discardStranger  = "stranger"             // in no requestor's prefixes
	discardStarting  = "starting"             // this node cannot answer yet
	discardMulticast = "multicast"            // sent to a multicast address, which is not answered here
	discardNotLeader = "not-leader"           // sent to a multicast address: the leader answers
	discardRate      = "rate"                 // its source sends too many
	discardTruncated = "cut-short"            // longer than any message
	discardType      = leasequery.DiscardType // neither LEASEQUERY nor Relay-forward
	discardFraming   = "option-framing"       // options that are not whole
	discardRelayed   = "relayed"              // its requestor's relayed queries are not answered
	discardHops      = "too-many-hops"
	discardRelay     = "relay-message" // a relay message that is broken, or carries none
	discardTwice     = "held-already"  // the same query is being held
	discardOverload  = "overload"      // more than can be answered or held
	discardTooLarge  = "too-large"     // the answer with the relays' messages around it is longer than a datagram
)

// reasons is every reason that the server itself has, so that each has its series from the start.
func reasons() []string {
	return []string{discardStranger, discardStarting, discardMulticast, discardNotLeader, discardRate, discardTruncated, discardType,
		discardFraming, discardRelayed, discardHops, discardRelay, discardTwice, discardOverload, discardTooLarge,
		leasequery.DiscardNoClientID, leasequery.DiscardLongClientID, leasequery.DiscardForeignServerID, leasequery.DiscardNoQuery,
		leasequery.DiscardNotFresh}
}

// Metrics counts what the server does. All of its fields are for the server; read it through its registry.
type Metrics struct {
	received   prometheus.Counter
	dropped    prometheus.Counter
	discarded  *prometheus.CounterVec
	byReason   map[string]prometheus.Counter
	direct     prometheus.Counter
	relayed    prometheus.Counter
	fragmented prometheus.Counter
	octets     prometheus.Counter
	sendErrors prometheus.Counter
	readErrors prometheus.Counter
	held       prometheus.Counter
	views      prometheus.Counter
	seconds    prometheus.Histogram
}

// NewMetrics makes the server's metrics and registers them; with a nil registry they are counted and shown to nobody.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	answers := prometheus.NewCounterVec(prometheus.CounterOpts{Name: MetricAnswers,
		Help: "LEASEQUERY-REPLY messages sent, directly (RFC 5007) or relayed in Relay-reply (RFC 8415 19.3)."}, []string{"way"})
	m := &Metrics{
		received: counter(MetricReceived, "Datagrams that came in."),
		dropped:  counter(MetricDropped, "Datagrams that the kernel dropped because the socket's buffer was full."),
		discarded: prometheus.NewCounterVec(prometheus.CounterOpts{Name: MetricDiscarded,
			Help: "Datagrams that got no answer, by reason (RFC 8415 16, RFC 5007 4.4.1, 5)."}, []string{"reason"}),
		byReason:   map[string]prometheus.Counter{},
		direct:     answers.WithLabelValues("direct"),
		relayed:    answers.WithLabelValues("relayed"),
		fragmented: counter(MetricFragmented, "Answers that were sent in fragments of 1,280 octets (RFC 8200 5) by a raw socket."),
		octets:     counter(MetricOctets, "Octets of the messages sent, and of packets where they were fragmented here."),
		sendErrors: counter(MetricSendErrors, "Answers that could not be sent."),
		readErrors: counter(MetricReadErrors, "Errors of reading, other than the end."),
		held:       counter(MetricHeld, "Queries that had to wait because this node could not prove at once that it is up to date."),
		views:      counter(MetricViews, "Views that answers were made from: one for all queries that came together."),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: MetricSeconds,
			Help:    "Time from the arrival of the first of the queries that were answered together until all answers were sent.",
			Buckets: prometheus.ExponentialBuckets(0.00005, 4, 9)}),
	}
	for _, r := range reasons() {
		m.byReason[r] = m.discarded.WithLabelValues(r)
	}
	if registry != nil {
		registry.MustRegister(m.received, m.dropped, m.discarded, answers, m.fragmented, m.octets, m.sendErrors, m.readErrors, m.held, m.views, m.seconds)
	}
	return m
}

// discard counts datagrams that get no answer.
func (m *Metrics) discard(reason string, n int) {
	if c, ok := m.byReason[reason]; ok {
		c.Add(float64(n))
		return
	}
	m.discarded.WithLabelValues(reason).Add(float64(n))
}
