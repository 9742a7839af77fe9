package kea

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/time/rate"
)

// Bounds of the listener for pushes. Kea gives up after 10 s.
const (
	pushHold      = 9500 * time.Millisecond // that a push is held until the cluster has acknowledged it
	pushHoldShort = 250 * time.Millisecond  // and while the cluster acknowledges nothing
	pushHeader    = 10 * time.Second        // to send a request's header
	pushRead      = 30 * time.Second        // to send a request
	pushWrite     = 60 * time.Second        // to hold it, and to take its answer
	pushIdle      = time.Hour               // between requests: Kea keeps its connections, and a closed one may cost it an update
	pushConns     = 256                     // connections
	pushDrain     = 2 * time.Second         // that requests under way have when the program ends
)

// Serve is the backup peer to Kea's HA hook, until ctx ends: nil then, and at once when there is no listener. An error is the
// listener's. It is run once, beside Run.
func (s *Server) Serve(ctx context.Context) error {
	if s.config.Push == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.introduce()
	h := &pushHandler{server: s, started: s.config.now(), ending: ctx.Done()}
	h.user, h.password = sha256.Sum256([]byte(s.config.PushUser)), sha256.Sum256([]byte(s.config.PushPassword))
	conns := newConnections(s)
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: pushHeader, ReadTimeout: pushRead, WriteTimeout: pushWrite, IdleTimeout: pushIdle, MaxHeaderBytes: 16 << 10,
		ErrorLog:                     log.New(&errorWriter{s.log, rate.NewLimiter(rate.Every(time.Second), 20)}, "", 0),
		ConnContext:                  conns.admit,
		ConnState:                    conns.note,
		TLSNextProto:                 map[string]func(*http.Server, *tls.Conn, http.Handler){}, // HTTP/1.1 alone, as Kea speaks it
		DisableGeneralOptionsHandler: true,
	}
	l := s.config.Push
	if s.config.PushTLS != nil {
		l = tls.NewListener(l, s.config.PushTLS)
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		cancel()
		err = errors.Join(err, server.Close())
		conns.wait.Wait()
		return err
	case <-ctx.Done():
	}
	drain, stop := context.WithTimeout(context.WithoutCancel(ctx), pushDrain)
	defer stop()
	err := server.Shutdown(drain)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	<-failed
	conns.wait.Wait()
	return err
}

// introduce tells at the start what pushes do not tell, where nothing else does at once: nobody should have to find out.
func (s *Server) introduce() {
	const lacks = "Kea pushes neither what operators do (lease6-add, lease6-update, lease6-del, lease6-wipe) nor what it drops by itself"
	switch {
	case s.config.Leases != "":
	case s.config.Control != nil:
		s.log.Info(lacks+": the cluster learns of that when Kea's leases are read the next time, unless the lease file is followed too", "resync", s.config.Resync)
	default:
		s.log.Warn(lacks + ", nor anything again that is lost: without the lease file or Kea's command API the cluster keeps such leases until they run out")
	}
}

// errorWriter logs what net/http has to say, which anybody who connects can cause.
type errorWriter struct {
	log   *slog.Logger
	limit *rate.Limiter
}

var _ io.Writer = (*errorWriter)(nil)

// Write logs one message.
func (w *errorWriter) Write(text []byte) (int, error) {
	if w.limit.Allow() {
		w.log.Warn("A connection to the listener for pushes failed", "error", string(text[:min(len(text), 500)]))
	}
	return len(text), nil
}

// admitted tells whether user and password are right, in a time that does not tell how far they are.
func (h *pushHandler) admitted(r *http.Request) bool {
	if h.server.config.PushUser == "" {
		return true
	}
	user, password, _ := r.BasicAuth()
	u, p := sha256.Sum256([]byte(user)), sha256.Sum256([]byte(password))
	return subtle.ConstantTimeCompare(u[:], h.user[:])&subtle.ConstantTimeCompare(p[:], h.password[:]) == 1
}
