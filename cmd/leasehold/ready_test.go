package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leasehold/leasehold/cluster/health"
	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
)

// saying is a node's health whose reasons a test sets.
type saying struct {
	mu      sync.Mutex
	why     []string
	changed chan struct{}
}

func (s *saying) set(why ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.why = why
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *saying) reasons() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

func (s *saying) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// serveHealth serves s at the address, or at a free one, until stop.
func serveHealth(t *testing.T, s *saying, address string) (at string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	server := health.New(s.reasons, s.wait, prometheus.NewRegistry(), nil)
	go func() { ended <- server.Run(ctx, l) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("health: %v", err)
		}
	})
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

func TestReadyTellsOnce(t *testing.T) {
	s := &saying{changed: make(chan struct{}), why: []string{"restoring: x"}}
	at, stop := serveHealth(t, s, "127.0.0.1:0")
	if err := checkReady(t.Context(), at, time.Minute); err == nil || err.Error() != "not ready: restoring: x" {
		t.Errorf("a node that restores: %v", err)
	}
	s.set()
	if err := checkReady(t.Context(), at, time.Minute); err != nil {
		t.Errorf("a node that is ready: %v", err)
	}
	stop()
	if err := checkReady(t.Context(), at, time.Minute); err == nil {
		t.Error("a node that does not run is ready")
	}
	hangs, err := net.Listen("tcp", "127.0.0.1:0") // accepts, as the kernel does for a process that hangs, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer hangs.Close()
	if err := checkReady(t.Context(), hangs.Addr().String(), 50*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a node that hangs: %v", err)
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	if err := checkReady(t.Context(), strings.TrimPrefix(other.URL, "http://"), time.Minute); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("something else answers: %v", err)
	}
}

// TestReadyFollows: the track file and the commands follow what the node says, its end and its return, and the agent's own end.
func TestReadyFollows(t *testing.T) {
	s := &saying{changed: make(chan struct{})}
	dir := t.TempDir()
	held, err := laptop.New(laptop.Config{Dir: filepath.Join(dir, "held"), Nodes: 1}) // its ports stay free for who comes back
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, held.Close()) })
	at, stop := serveHealth(t, s, held.Nodes[0].HTTP)
	track, hooks := filepath.Join(dir, "track"), filepath.Join(dir, "hooks")
	ctx, cancel := context.WithCancel(t.Context())
	a := newAnnouncer(announcement{file: track, up: "echo up >>" + hooks, down: "echo down >>" + hooks}, 0, slog.New(slog.DiscardHandler))
	var both sync.WaitGroup
	both.Go(func() { a.run(ctx) })
	both.Go(func() {
		(&follower{url: "http://" + at + "/readyz/watch", silence: 5 * time.Second, tell: a.want}).run(ctx)
	})
	defer both.Wait()
	defer cancel()
	want := func(is, hook string) {
		t.Helper()
		until(t, deadline(t, time.Minute), "the track file says "+is, func() bool {
			b, _ := os.ReadFile(track)
			h, _ := os.ReadFile(hooks)
			return strings.TrimSpace(string(b)) == is && strings.HasSuffix(string(h), hook+"\n")
		})
	}
	want("0", "up")
	s.set("stale: x")
	want("1", "down")
	s.set("stale: x", "draining: y")
	want("3", "down")
	s.set()
	want("0", "up")
	s.set("diverged: z")
	want("3", "down")
	s.set()
	want("0", "up")
	stop() // as if it were killed: the connection ends
	want("3", "down")
	serveHealth(t, s, at)
	want("0", "up")
	cancel() // the agent ends beside a node that is ready
	both.Wait()
	want("3", "down")
}

func TestFollowerNoticesSilence(t *testing.T) {
	released := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("ready\n"))
		w.(http.Flusher).Flush()
		select { // says nothing more, and keeps the connection
		case <-r.Context().Done():
		case <-released:
		}
	}))
	defer server.Close()
	defer close(released)
	type word struct {
		is  readiness
		why string
	}
	told := make(chan word, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := &follower{url: server.URL, silence: 250 * time.Millisecond, tell: func(is readiness, why string) { told <- word{is, why} }}
	done := make(chan struct{})
	go func() { defer close(done); f.run(ctx) }()
	first := <-told
	for first == (word{isGone, errSilent.Error()}) { // a busy machine may be silent that long before it says anything
		first = <-told
	}
	if first.is != isReady {
		t.Errorf("first told %v", first)
	}
	if then := <-told; then != (word{isGone, errSilent.Error()}) {
		t.Errorf("then told %v, want %d for %q", then, isGone, errSilent)
	}
	cancel()
	<-done
}

func TestReadyRefusesFlags(t *testing.T) {
	for _, args := range [][]string{
		{"--follow"}, {"--follow", "--up", "true"}, {"--follow", "--track-file", "/dev/null", "--silence", "100ms"},
		{"--follow", "--track-file", "/dev/null", "--repeat", "-1s"},
	} {
		root := newRoot("test")
		root.SetArgs(append([]string{"ready"}, args...))
		if err := root.ExecuteContext(t.Context()); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}
