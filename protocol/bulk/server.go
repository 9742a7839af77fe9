package bulk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leasehold/leasehold/protocol/active"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// What bounds the accept loop and the end of the server.
const (
	minAcceptPause = 5 * time.Millisecond // after an accept error; doubles up to
	maxAcceptPause = time.Second
	closeGrace     = 5 * time.Second // for QueryTerminated to leave once draining has run out of time
)

// ErrRunning says that Run was called a second time.
var ErrRunning = errors.New("bulk server is running already")

// Server answers bulk leasequery over TCP (RFC 5460). Make one with New.
type Server struct {
	config   Config
	begin    func(context.Context, leasequery.Request) (answer, error)
	refuse   func(dst []byte, m dhcpv6.Message, s dhcpv6.Status, text string) ([]byte, error)
	accepted func(dst []byte, m dhcpv6.Message) []byte // answers STARTTLS
	// subscribe begins a subscription, and hub wakes it; both are nil where nobody may subscribe.
	subscribe func(context.Context, leasequery.Request) (subscription, error)
	hub       *active.Hub
	policy    *leasequery.Policy
	log       *slog.Logger
	metrics   *Metrics

	ready     chan struct{}
	retiring  atomic.Bool   // connections are closed as soon as they are idle
	draining  chan struct{} // closed when the server begins to stop
	admission *admission
	buffers   sync.Pool // of *[]byte: send buffers
	updates   sync.Pool // of *[]byte: send buffers of subscriptions, which are smaller
	serving   sync.WaitGroup
	ctx       context.Context // ends when no query may go on
	kill      context.CancelFunc

	mu       sync.Mutex
	listener net.Listener
	running  bool
	drained  bool
}

// New makes a server that answers by engine the requestors that policy knows. It starts nothing. A nil logger discards; nil
// metrics are counted for nobody.
func New(config Config, engine *leasequery.Engine, policy *leasequery.Policy, log *slog.Logger, metrics *Metrics) *Server {
	s := newServer(config, policy, log, metrics)
	s.begin = func(ctx context.Context, r leasequery.Request) (answer, error) {
		a, err := engine.Begin(ctx, r)
		if err != nil {
			return nil, err
		}
		return a, nil
	}
	s.refuse, s.accepted = engine.Refuse, engine.AcceptStartTLS
	if s.config.Active.Enabled {
		s.offer(func(ctx context.Context, r leasequery.Request) (subscription, error) {
			sub, err := engine.Subscribe(ctx, r)
			if err != nil {
				return nil, err
			}
			return sub, nil
		}, engine.Changed)
	}
	return s
}

func newServer(config Config, policy *leasequery.Policy, log *slog.Logger, metrics *Metrics) *Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if metrics == nil {
		metrics = NewMetrics(nil)
	}
	config = config.withDefaults()
	s := &Server{
		config: config, policy: policy, log: log, metrics: metrics,
		ready:    make(chan struct{}),
		draining: make(chan struct{}),
		admission: &admission{
			config:     config,
			conns:      make(map[*conn]struct{}),
			leaving:    make(map[*conn]struct{}),
			requestors: make(map[requestorKey]*requestor),
		},
	}
	s.ctx, s.kill = context.WithCancel(context.Background())
	return s
}

// Ready is closed once Run accepts connections.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run accepts connections of listener, which it closes, until ctx ends or Drain is called. It then lets running answers go on
// for DrainTimeout, ends the others with QueryTerminated, and returns nil when every connection is closed. A listener that is
// closed by somebody else is an error; other errors of accepting are counted and waited out.
func (s *Server) Run(ctx context.Context, listener net.Listener) error {
	if err := s.start(listener); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, s.beginDrain)
	defer stop()
	watching, endWatch := context.WithCancel(context.WithoutCancel(ctx))
	var watch sync.WaitGroup
	watch.Go(func() { s.watchPeers(watching) })
	if s.hub != nil {
		watch.Go(func() { s.hub.Run(watching) })
	}
	defer watch.Wait()
	defer endWatch()
	err := s.accept(listener)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.DrainTimeout)
	defer cancel()
	s.Drain(grace)
	return err
}

func (s *Server) start(listener net.Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running {
		return ErrRunning
	}
	s.running = true
	s.listener = listener
	if s.drained {
		return closeListener(listener)
	}
	close(s.ready)
	return nil
}

// accept admits connections until the server drains. Errors such as a lack of file descriptors pass: it pauses and goes on.
func (s *Server) accept(listener net.Listener) error {
	pause := time.Duration(0)
	for {
		socket, err := listener.Accept()
		switch {
		case err == nil:
			pause = 0
			s.admit(socket)
			continue
		case s.isDraining():
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept bulk leasequery connections at %v: %w", listener.Addr(), err)
		}
		s.metrics.acceptErrors.Inc()
		if pause == 0 {
			s.log.Warn("accepting bulk leasequery connections; pausing", "err", err)
		}
		pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-s.draining:
			timer.Stop()
		}
	}
}

// admit serves an accepted socket, or closes it at once: strangers, and newcomers past a limit (RFC 5460 7.1).
func (s *Server) admit(socket net.Conn) {
	peer := peerOf(socket)
	c, why := s.admissible(socket, peer)
	if c == nil {
		s.metrics.refused.WithLabelValues(why).Inc()
		s.log.Debug("bulk leasequery connection refused", "requestor", peer.String(), "reason", why)
		// The socket was never used: there is nothing to lose by a close that fails.
		_ = socket.Close()
		return
	}
	s.metrics.accepted.Inc()
	go func() {
		defer s.serving.Done()
		defer s.admission.remove(c)
		c.serve()
	}()
}

func (s *Server) admissible(socket net.Conn, peer netip.AddrPort) (*conn, string) {
	entry, ok := s.policy.Lookup(peer.Addr())
	if !ok && s.config.TLS.MaxStrangers == 0 {
		return nil, refusedStranger
	}
	if !s.answering() {
		return nil, refusedStarting
	}
	if err := tune(socket, s.config.SendBuffer); err != nil {
		s.log.Debug("bulk leasequery connection not set up", "requestor", peer.String(), "err", err)
		return nil, refusedSocket
	}
	return s.admission.admit(s, socket, peer, entry)
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

// peerOf is the requestor's address without zone, as policies know it; the zero AddrPort when the socket has none.
func peerOf(socket net.Conn) netip.AddrPort {
	tcp, ok := socket.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// buffer is an empty send buffer of the pool, with room for one message more than size octets.
func buffer(pool *sync.Pool, size int) *[]byte {
	if b, ok := pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, size+frameHeader+dhcpv6.MaxFrame)
	return &b
}
