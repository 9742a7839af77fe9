package feed

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// patience ends what hangs.
const patience = 30 * time.Second

// told is a source that states what it is told to, forever, and has the condition that it is told.
type told struct {
	list
	state chan func(context.Context, Sink) error

	mu        sync.Mutex
	condition Condition
}

func newTold(n int) *told {
	return &told{list: list{n: n}, state: make(chan func(context.Context, Sink) error)}
}

func (s *told) Run(ctx context.Context, sink Sink) error {
	if err := s.list.Run(ctx, sink); err != nil {
		return err
	}
	for {
		select {
		case f := <-s.state:
			if err := f(ctx, sink); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *told) Condition() Condition {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.condition
}

func (s *told) be(c Condition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.condition = c
}

// start runs an agent until the test ends, or until it is stopped.
func start(t *testing.T, a *Agent) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != context.Canceled {
			t.Errorf("the agent ended with %v, want the end of its context", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// await takes from a channel until something is as it is wanted.
func await[T any](t *testing.T, what string, c <-chan T, ok func(T) bool) T {
	t.Helper()
	end := time.NewTimer(patience)
	defer end.Stop()
	for {
		select {
		case x := <-c:
			if ok(x) {
				return x
			}
		case <-end.C:
			t.Fatalf("still not so after %v: %s", patience, what)
		}
	}
}

// ready waits until an agent is, or, for a reason, is not ready.
func ready(t *testing.T, a *Agent, want ...string) {
	t.Helper()
	end := time.NewTimer(patience)
	defer end.Stop()
	for {
		changed := a.ReadinessChanged()
		got := a.Reasons()
		if slices.EqualFunc(got, want, strings.HasPrefix) {
			return
		}
		select {
		case <-changed:
		case <-end.C:
			t.Fatalf("still not so after %v: reasons are %q, want %q", patience, got, want)
		}
	}
}

func TestReports(t *testing.T) {
	reports := make(chan *ingestv1.Report, 1000)
	n := &node{cluster: &cluster{}, reports: func(r *ingestv1.Report) { reports <- r }, batch: func(_ int, b *ingestv1.Batch) mischief {
		if b.GetSequence() == 5 {
			return applySilent
		}
		return apply
	}}
	config := testConfig(serve(t, n))
	config.Instance, config.ReportEvery = "kea-a", 5*time.Millisecond
	source := newTold(10)
	source.be(Condition{Refused: 3, Skew: -1500 * time.Millisecond, Measured: true})
	a := newAgent(t, config, source)
	start(t, a)
	got := await(t, "a resync is reported, and the condition", reports, func(r *ingestv1.Report) bool { return r.ResyncAgeMs != nil && r.SkewMs != nil })
	if got.GetInstance() != "kea-a" || got.GetSkewMs() != -1500 || got.GetRefusedRecords() != 3 || got.ChangeAgeMs == nil || got.GetTrouble() != "" ||
		time.Since(time.UnixMilli(got.GetClockMs())).Abs() > patience {
		t.Errorf("report %v", got)
	}
	source.be(Condition{Trouble: "no server\xff"})
	got = await(t, "trouble is reported", reports, func(r *ingestv1.Report) bool { return r.GetTrouble() == "no server" })
	if got.SkewMs != nil || got.GetLagMs() != 0 {
		t.Errorf("report %v, want no skew and no lag", got)
	}
	source.state <- one(50)
	await(t, "a change that waits is reported", reports, func(r *ingestv1.Report) bool { return r.GetLagMs() > 0 })
	source.state <- one(51)
	await(t, "nothing waits any more", reports, func(r *ingestv1.Report) bool { return r.GetLagMs() == 0 })
}

// one states one lease.
func one(i int) func(context.Context, Sink) error {
	return func(ctx context.Context, sink Sink) error {
		if err := sink.Change(ctx, leaseOf(i)); err != nil {
			return err
		}
		return sink.Flush(ctx)
	}
}

// TestTroubleIsReportedAtOnce: not only when the next report is due anyway.
func TestTroubleIsReportedAtOnce(t *testing.T) {
	reports := make(chan *ingestv1.Report, 1000)
	config := testConfig(serve(t, &node{cluster: &cluster{}, reports: func(r *ingestv1.Report) { reports <- r }}))
	config.ReportEvery = 24 * time.Hour
	source := newTold(1)
	start(t, newAgent(t, config, source))
	await(t, "the session begins with a report", reports, func(*ingestv1.Report) bool { return true })
	await(t, "the resync is reported", reports, func(r *ingestv1.Report) bool { return r.ResyncAgeMs != nil })
	source.be(Condition{Trouble: "the socket is gone"})
	await(t, "trouble is reported", reports, func(r *ingestv1.Report) bool { return r.GetTrouble() != "" })
	source.be(Condition{})
	await(t, "its end is reported", reports, func(r *ingestv1.Report) bool { return r.GetTrouble() == "" })
}

// TestSourceThatDoesNotTell: a source that takes its time to tell its condition holds up neither the feed nor those who look.
func TestSourceThatDoesNotTell(t *testing.T) {
	c := &cluster{}
	source := &mute{told: newTold(100), asked: make(chan struct{}, 1), tell: make(chan struct{})}
	config := testConfig(serve(t, &node{cluster: c, reports: func(*ingestv1.Report) {}}))
	config.ReportEvery = time.Millisecond
	a := newAgent(t, config, source)
	stop := start(t, a)
	await(t, "the source is asked", source.asked, func(struct{}) bool { return true })
	ready(t, a)
	source.state <- one(500)
	acknowledged(t, source.told)
	close(source.tell)
	stop()
	mustEqual(t, "log", append(source.want(nil), describe(leaseOf(500))), c.logged())
}

// mute is a source that tells its condition when the test lets it.
type mute struct {
	*told
	asked, tell chan struct{}
}

func (m *mute) Condition() Condition {
	signal(m.asked)
	<-m.tell
	return Condition{}
}

// TestOlderNodeIsNotReportedTo: it would end the session.
func TestOlderNodeIsNotReportedTo(t *testing.T) {
	c, acked := &cluster{}, make(chan uint64, 1000)
	n := &node{cluster: c, ack: func(_ context.Context, sequence uint64) error { acked <- sequence; return nil }}
	config := testConfig(serve(t, n))
	config.ReportEvery = 1
	source := newTold(5)
	a := newAgent(t, config, source)
	start(t, a)
	for i := range 50 {
		source.state <- one(100 + i)
		await(t, "it arrives", acked, func(s uint64) bool { return s == uint64(4+i) })
	}
	if got := a.Totals(); got.Sessions != 1 {
		t.Errorf("%d sessions, want 1", got.Sessions)
	}
}

func TestReadiness(t *testing.T) {
	c := &cluster{}
	broken := status.Error(codes.Unavailable, "no leader")
	var mu sync.Mutex
	away := true
	hello := func(*ingestv1.Hello) error {
		mu.Lock()
		defer mu.Unlock()
		if away {
			return broken
		}
		return nil
	}
	hold := make(chan struct{})
	n := &node{cluster: c, hello: hello, batch: func(_ int, b *ingestv1.Batch) mischief {
		if b.GetResyncEnd() != nil {
			<-hold
		}
		return apply
	}}
	address, stop := serveAt(t, n, "127.0.0.1:0")
	source := newTold(20)
	config := testConfig(address)
	config.ReportEvery = 5 * time.Millisecond
	a := newAgent(t, config, source)
	const unreached, unstated = "no session with the cluster: ", "the cluster has not acknowledged everything"
	ready(t, a, "no node of the cluster has taken the feed yet", unstated)
	start(t, a)
	ready(t, a, unreached, unstated)
	mu.Lock()
	away = false
	mu.Unlock()
	ready(t, a, unstated)
	close(hold)
	ready(t, a)
	if s := a.Status(); s.Node != address || s.LastResync.IsZero() || s.LastChange.IsZero() || s.Lag != 0 {
		t.Errorf("status %+v", s)
	}
	source.be(Condition{Trouble: "Kea is away"})
	ready(t, a, "Kea is away")
	stop()
	ready(t, a, unreached, "Kea is away")
	source.be(Condition{})
	ready(t, a, unreached)
	serveAt(t, &node{cluster: c}, address)
	ready(t, a)
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	config := testConfig(serve(t, &node{cluster: &cluster{}}), "127.0.0.1:1")
	config.Metrics, config.ReportEvery = NewMetrics(registry), 5*time.Millisecond
	source := newTold(100)
	source.be(Condition{Refused: 7, Skew: 2500 * time.Millisecond, Measured: true, Trouble: "x"})
	a := newAgent(t, config, source)
	stop := start(t, a)
	ready(t, a, "x")
	source.be(Condition{Refused: 7, Skew: 2500 * time.Millisecond, Measured: true})
	ready(t, a)
	want := map[string]float64{
		MetricConnected + " node=" + config.Cluster[0]: 1, MetricConnected + " node=" + config.Cluster[1]: 0,
		MetricReady: 1, MetricTrouble: 0, MetricLag: 0, MetricSkew: 2.5, MetricRefused + " by=cluster": 0, MetricRefused + " by=source": 7,
		MetricChanges + " outcome=changed": 101, MetricChanges + " outcome=unchanged": 0, MetricChanges + " outcome=ignored": 0,
		MetricChanges + " outcome=swept": 0, MetricBatches: 17, MetricSessions: 1, MetricEpochs: 1, MetricResyncs: 1,
		MetricLastChange: float64(a.Status().LastChange.UnixMilli()) / 1000, MetricLastResync: float64(a.Status().LastResync.UnixMilli()) / 1000,
	}
	got := gather(t, registry)
	for name, v := range want {
		if g, ok := got[name]; !ok || g != v {
			t.Errorf("%s is %v (%v), want %v", name, g, ok, v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d metrics, want %d: %v", len(got), len(want), got)
	}
	stop()
	if got := gather(t, registry); got[MetricReady] != 0 || got[MetricConnected+" node="+config.Cluster[0]] != 0 || got[MetricResyncs] != 1 {
		t.Errorf("when the agent has ended: %v", got)
	}
}

// gather is every value, by its name and its label beside the source.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				switch {
				case l.GetName() != "source":
					name += " " + l.GetName() + "=" + l.GetValue()
				case l.GetValue() != "dev":
					t.Errorf("%s of source %q", name, l.GetValue())
				}
			}
			out[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return out
}

// TestReasonIsTheNewest: an outage is one change of readiness, and who asks is told what keeps the agent from the cluster now.
func TestReasonIsTheNewest(t *testing.T) {
	s := &standing{complete: true}
	s.disconnected(errors.New("the leader changed"))
	changed := s.watch()
	s.disconnected(errors.New("connection refused"))
	if got := s.reasons(); len(got) != 1 || !strings.HasSuffix(got[0], "connection refused") {
		t.Errorf("reasons %q", got)
	}
	select {
	case <-changed:
		t.Error("another failure counts as a change")
	default:
	}
}
