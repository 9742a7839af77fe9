package health

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves and gives the URL; stop ends it.
func start(t *testing.T, reasons func() []string, metrics prometheus.Gatherer) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(reasons, nil, metrics, nil)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l) }()
	<-s.Ready()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("server ended: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return "http://" + l.Addr().String()
}

func get(t *testing.T, method, url string) (code int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestReadyzFollowsTheReasons(t *testing.T) {
	var why atomic.Pointer[[]string]
	why.Store(&[]string{"restoring", "no leader"})
	url := start(t, func() []string { return *why.Load() }, prometheus.NewRegistry())
	if code, body := get(t, http.MethodGet, url+"/readyz"); code != http.StatusServiceUnavailable || body != "not ready: restoring; no leader\n" {
		t.Errorf("%d %q, want 503 with the reasons", code, body)
	}
	if code, body := get(t, http.MethodGet, url+"/livez"); code != http.StatusOK || body != "alive\n" {
		t.Errorf("livez of a node that is not ready: %d %q, want 200", code, body)
	}
	why.Store(&[]string{})
	if code, body := get(t, http.MethodGet, url+"/readyz"); code != http.StatusOK || body != "ready\n" {
		t.Errorf("%d %q, want 200", code, body)
	}
	if code, _ := get(t, http.MethodHead, url+"/readyz"); code != http.StatusOK {
		t.Errorf("HEAD: %d, want 200", code)
	}
}

func TestOtherRequests(t *testing.T) {
	url := start(t, func() []string { return nil }, prometheus.NewRegistry())
	for _, tc := range []struct {
		method, path string
		code         int
	}{
		{http.MethodPost, "/readyz", http.StatusMethodNotAllowed},
		{http.MethodGet, "/", http.StatusNotFound},
		{http.MethodGet, "/debug/pprof/", http.StatusNotFound},
	} {
		if code, _ := get(t, tc.method, url+tc.path); code != tc.code {
			t.Errorf("%s %s: %d, want %d", tc.method, tc.path, code, tc.code)
		}
	}
}

func TestMetricsAreTheRegistrys(t *testing.T) {
	r := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "leasehold_test_total", Help: "x"})
	r.MustRegister(c)
	c.Add(3)
	url := start(t, func() []string { return nil }, r)
	if code, body := get(t, http.MethodGet, url+"/metrics"); code != http.StatusOK || !strings.Contains(body, "\nleasehold_test_total 3\n") || strings.Contains(body, "go_goroutines") {
		t.Errorf("%d %q, want what the registry has and nothing else", code, body)
	}
}

func TestRunTellsWhyItCannotServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := New(func() []string { return nil }, nil, prometheus.NewRegistry(), nil).Run(context.Background(), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("served on a closed listener: %v", err)
	}
}

// A connection that sends nothing does not hold up the end of Run, nor stay open behind it.
func TestSilentConnectionDoesNotHoldUpTheEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(func() []string { return nil }, nil, prometheus.NewRegistry(), nil)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("GET /livez HTTP/1.1\r\n")); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("server ended: %v", err)
	}
	if _, err := io.ReadAll(c); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("connection ended with %v", err)
	}
}
