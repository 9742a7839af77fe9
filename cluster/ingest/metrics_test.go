package ingest

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/testing/protocmp"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

func TestRefusedNetworkIsCountedAndLogged(t *testing.T) {
	n := newLone(t)
	var log lockedBuffer
	registry := prometheus.NewPedanticRegistry()
	s := New(n, n.state, nil, slog.New(slog.NewTextHandler(&log, nil)), NewMetrics(registry))
	f := call(t, serve(t, s), "kea", 1)
	f.welcome()
	vpn := lease(1)
	vpn.Relays[0].Options = []byte{0, 68, 0, 1, 0}
	f.changes(1, upsert(vpn), upsert(lease(2)))
	f.changes(2, upsert(vpn))
	got := f.acked(2)
	if want := (&ingestv1.Counts{Changed: 1, Ignored: 2}); !cmp.Equal(got, want, protocmp.Transform()) {
		t.Errorf("counts %v, want %v", got, want)
	}
	if got := counted(t, s.metrics.refused); got != 2 {
		t.Errorf("counted %v refusals, want 2", got)
	}
	if lines := strings.Count(log.String(), "virtual network"); lines != 1 {
		t.Errorf("%d lines in the log, want 1: %s", lines, log.String())
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 8 {
		t.Errorf("%d metrics, %v", len(families), err)
	}
}

// lockedBuffer is a buffer that several goroutines write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends.
func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String is what was written.
func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
