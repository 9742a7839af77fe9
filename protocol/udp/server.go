package udp

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leasehold/leasehold/protocol/leasequery"
)

// ErrRunning says that Run was called a second time.
var ErrRunning = errors.New("udp server is running already")

// Server answers leasequery over UDP (RFC 5007). Make one with New.
type Server struct {
	config  Config
	engine  *leasequery.Engine
	policy  *leasequery.Policy
	log     *slog.Logger
	metrics *Metrics
	limiter *limiter
	ready   chan struct{}
	running atomic.Bool
}

// New makes a server that answers by engine the requestors that policy knows. It starts nothing. A nil logger discards; nil
// metrics are counted for nobody.
func New(config Config, engine *leasequery.Engine, policy *leasequery.Policy, log *slog.Logger, metrics *Metrics) *Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if metrics == nil {
		metrics = NewMetrics(nil)
	}
	return &Server{
		config: config.withDefaults(), engine: engine, policy: policy, log: log, metrics: metrics,
		limiter: newLimiter(time.Now()), ready: make(chan struct{}),
	}
}

// Ready is closed once Run reads from its sockets.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run answers what comes to the sockets, which it closes with Config.Raw, until ctx ends. What has been read by then is still answered, or held for
// Config.Hold at most; then Run returns nil. A socket that is closed by somebody else, or cannot be read from, is an error.
func (s *Server) Run(ctx context.Context, sockets ...*net.UDPConn) error {
	if s.running.Swap(true) {
		return ErrRunning
	}
	var workers []*worker
	var errs []error
	for _, conn := range sockets {
		w, err := newWorker(s, conn)
		if err != nil {
			errs = append(errs, err)
			break
		}
		workers = append(workers, w)
	}
	if len(errs) > 0 {
		return errors.Join(append(errs, s.closeAll(sockets))...)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var serving sync.WaitGroup
	for _, w := range workers {
		serving.Go(func() {
			if err := w.read(ctx); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
				cancel() // the others end as well: whoever runs the server is to know
			}
		})
		serving.Go(w.answer)
	}
	stop := context.AfterFunc(ctx, func() {
		for _, w := range workers {
			// One that fails belongs to a socket that is closed: its reader ends anyway.
			_ = w.conn.SetReadDeadline(time.Unix(1, 0))
		}
	})
	close(s.ready)
	serving.Wait()
	stop()
	return errors.Join(append(errs, s.closeAll(sockets))...)
}

// closeAll closes the sockets. One that somebody else has closed is reported by its reader.
func (s *Server) closeAll(sockets []*net.UDPConn) error {
	var errs []error
	if s.config.Raw != nil {
		errs = append(errs, s.config.Raw.Close())
	}
	for _, c := range sockets {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// answering tells whether the server can answer yet.
func (s *Server) answering() bool {
	if s.config.Answering == nil {
		return true
	}
	select {
	case <-s.config.Answering:
		return true
	default:
		return false
	}
}
