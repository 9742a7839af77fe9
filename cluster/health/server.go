package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Limits of the HTTP server.
const (
	readTimeout  = 5 * time.Second  // for a whole request
	writeTimeout = 30 * time.Second // for a whole answer
	maxScrapes   = 8                // requests for metrics answered at once
	idleTimeout  = time.Minute
	maxHeader    = 16 << 10 // octets
	stopGrace    = 2 * time.Second
)

// Server serves a node's health and metrics.
type Server struct {
	http     *http.Server
	mux      *http.ServeMux
	reasons  func() []string
	changed  func() <-chan struct{}
	ready    chan struct{}
	ending   chan struct{} // closed when Run ends
	watchers chan struct{} // a place for each reader of /readyz/watch
}

// New is a server that asks reasons, each time, why relays should not be sent to the node: none means that they should. changed
// gives a channel that is closed when the reasons may have changed; nil when nobody tells, and then they are looked at each
// Heartbeat. It starts nothing.
func New(reasons func() []string, changed func() <-chan struct{}, metrics prometheus.Gatherer, log *slog.Logger) *Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if changed == nil {
		changed = func() <-chan struct{} { return nil }
	}
	mux := http.NewServeMux()
	s := &Server{reasons: reasons, changed: changed, mux: mux, ready: make(chan struct{}), ending: make(chan struct{}),
		watchers: make(chan struct{}, maxWatchers)}
	mux.HandleFunc("GET /livez", s.livez)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /readyz/watch", s.watch)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError), MaxRequestsInFlight: maxScrapes,
	}))
	s.http = &http.Server{
		Handler: mux, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	return s
}

// ServeProfiles lets profiles of the process be read below /debug/pprof/ (net/http/pprof). It is called before Run.
func (s *Server) ServeProfiles() {
	s.mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	s.mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	s.mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}

// Ready is closed once Run serves.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run serves on the listener, which it closes, until ctx ends. It returns nil when ctx ended it.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(l) }()
	close(s.ready)
	select {
	case err := <-served:
		return fmt.Errorf("serve HTTP on %v: %w", l.Addr(), errors.Join(err, s.http.Close()))
	case <-ctx.Done():
	}
	close(s.ending)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	if err := s.http.Shutdown(grace); err != nil {
		err = errors.Join(err, s.http.Close())
		if !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("stop HTTP on %v: %w", l.Addr(), err)
		}
	}
	<-served
	return nil
}

// livez says that the process runs.
func (s *Server) livez(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "alive\n") }

// readyz says whether relays should be sent here, and if not, why.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	why, code := s.reasons(), http.StatusOK
	if len(why) > 0 {
		code = http.StatusServiceUnavailable
	}
	answer(w, code, line(why))
}

func answer(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	w.Write([]byte(text)) // a reader that is gone is nobody's loss
}
