package kea

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// TestMetricsShowWhatServersHaveDone: each number under its own name, each source's apart.
func TestMetricsShowWhatServersHaveDone(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	m := NewMetrics(registry)
	want := map[string]float64{}
	for i, source := range []string{"kea-a", "kea-b"} {
		s, err := NewServer(ServerConfig{Leases: "leases.csv"})
		if err != nil {
			t.Fatal(err)
		}
		n := uint64(100 * i)
		s.ledger.add(func(t *ServerTotals) {
			*t = ServerTotals{Requests: n + 1, Unread: n + 2, Turned: n + 3, Pushed: n + 4, Degraded: n + 5, Late: n + 6, LeftOut: n + 7, Asked: n + 8, Gaps: n + 9}
		})
		m.Follow(source, s)
		for j, name := range []string{MetricPushRequests, MetricPushUnread, MetricPushTurned, MetricPushedLeases, MetricDegradedLeases, MetricPushLate,
			MetricLeftOut, MetricAskedLeases, MetricPossibleGaps} {
			want[name+" "+source] = float64(n) + float64(j+1)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, one := range f.GetMetric() {
			got[f.GetName()+" "+one.GetLabel()[0].GetValue()] = one.GetCounter().GetValue()
		}
	}
	if !maps.Equal(want, got) {
		t.Errorf("(-want +got):\n%s", cmp.Diff(want, got))
	}
}
