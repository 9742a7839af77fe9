package health

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// mood is a node's readiness that a test changes.
type mood struct {
	mu      sync.Mutex
	why     []string
	changed chan struct{}
}

func (m *mood) reasons() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.why
}

func (m *mood) wait() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

func (m *mood) set(why ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.why = why
	close(m.changed)
	m.changed = make(chan struct{})
}

// watched serves m; stop ends the server and waits for it.
func watched(t *testing.T, m *mood) (address string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(m.reasons, m.wait, prometheus.NewRegistry(), nil)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("server ended: %v", err)
		}
	})
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

// watchOn begins to watch on a connection of its own.
func watchOn(t *testing.T, address string) (*bufio.Scanner, int, net.Conn) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.Write([]byte("GET /readyz/watch HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Body.Close() })
	return bufio.NewScanner(r.Body), r.StatusCode, c
}

func TestWatchTellsChangesAndBeats(t *testing.T) {
	m := &mood{changed: make(chan struct{}), why: []string{"restoring: x", "no leader: y"}}
	address, stop := watched(t, m)
	lines, code, _ := watchOn(t, address)
	if code != http.StatusOK {
		t.Fatalf("status %d", code)
	}
	want := func(line string) {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == line {
				return
			}
		}
		t.Fatalf("the stream ended (%v) before %q", lines.Err(), line)
	}
	want("not ready: restoring: x; no leader: y")
	m.set()
	want("ready")
	want("ready") // and again, though nothing changed
	want("ready")
	m.set("draining: the node\nstops")
	want("not ready: draining: the node stops")
	stop()
	want("not ready: stopping: the node ends")
	if lines.Scan() {
		t.Errorf("another line: %q", lines.Text())
	}
}

func TestWatchersAreBounded(t *testing.T) {
	m := &mood{changed: make(chan struct{})}
	address, stop := watched(t, m)
	var one net.Conn
	for i := range maxWatchers {
		lines, code, c := watchOn(t, address)
		one = c
		if code != http.StatusOK || !lines.Scan() {
			t.Fatalf("watcher %d: status %d", i, code)
		}
	}
	if _, code, _ := watchOn(t, address); code != http.StatusTooManyRequests {
		t.Errorf("one watcher more: status %d, want 429", code)
	}
	one.Close()
	over := time.After(time.Minute)
	for code := 0; code != http.StatusOK; { // its place is free once the server has noticed
		select {
		case <-over:
			t.Fatal("the place of a watcher that went is not given to another")
		default:
			_, code, _ = watchOn(t, address)
		}
	}
	if code, body := get(t, http.MethodGet, "http://"+address+"/readyz"); code != http.StatusOK || !strings.HasPrefix(body, "ready") {
		t.Errorf("readyz beside watchers: %d %q", code, body)
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
}
