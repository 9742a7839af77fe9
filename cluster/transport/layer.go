package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// MaxConns is how many connections a layer holds that others opened. A cluster of n nodes needs about 4(n-1).
const MaxConns = 256

// dialTimeout bounds one attempt to connect. Raft would wait for 10 s; a peer that is back is found sooner by another attempt,
// because TCP asks again ever more seldom.
const dialTimeout = 3 * time.Second

// Layer is a raft.StreamLayer on an injected listener.
type Layer struct {
	listener net.Listener
	address  address
	cluster  string
	id       string
	logger   *slog.Logger
	stall    time.Duration // how long a message may make no progress

	start   sync.Once
	running sync.WaitGroup
	ready   chan net.Conn // connections whose preamble was right
	done    chan struct{}

	dialing context.Context // ends when HangUp is called
	hangUp  context.CancelFunc

	mu     sync.Mutex
	closed bool
	open   map[net.Conn]struct{} // accepted and not closed
	dialed map[net.Conn]struct{} // opened to others and not closed
}

var _ raft.StreamLayer = (*Layer)(nil)

// NewLayer makes a layer that accepts on ln. advertise is this
// server's address, which begins with the host:port that other nodes dial; empty for that of ln. cluster
// is the cluster's name and id this node's server id, at most 255 octets each: a connection that was meant for another
// cluster or another server is closed. Nothing is accepted before Accept.
func NewLayer(ln net.Listener, advertise, cluster, id string, logger *slog.Logger) (*Layer, error) {
	if len(cluster) > maxName || len(id) > maxName {
		return nil, fmt.Errorf("cluster name of %d octets, server id of %d, want at most %d", len(cluster), len(id), maxName)
	}
	if advertise == "" {
		advertise = ln.Addr().String()
	}
	l := &Layer{
		listener: ln, address: address(advertise), cluster: cluster, id: id, logger: logger, stall: stallTimeout,
		ready: make(chan net.Conn), done: make(chan struct{}), open: map[net.Conn]struct{}{}, dialed: map[net.Conn]struct{}{},
	}
	l.dialing, l.hangUp = context.WithCancel(context.Background())
	return l, nil
}

// address is this server's address: host:port, the host possibly a name, and perhaps more behind AddressEnd.
type address string

// Network is always tcp.
func (address) Network() string { return "tcp" }

// String is the address.
func (a address) String() string { return string(a) }

// Addr is the advertised address.
func (l *Layer) Addr() net.Addr { return l.address }

// Accept waits for a connection whose preamble named this cluster. net.ErrClosed after Close.
func (l *Layer) Accept() (net.Conn, error) {
	l.start.Do(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.closed {
			l.running.Go(l.listen)
		}
	})
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close closes the listener and every accepted connection and waits until the layer's goroutines have ended.
func (l *Layer) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.hangUp()
	close(l.done)
	err := l.listener.Close()
	for c := range l.open {
		_ = c.Close() // its reader is told by the error it gets
	}
	l.mu.Unlock()
	l.running.Wait()
	if err != nil {
		return fmt.Errorf("close raft listener: %w", err)
	}
	return nil
}

// listen accepts until the listener is closed. A burst of connections beyond the limit is closed at once: it costs itself.
func (l *Layer) listen() {
	backoff := time.Duration(0)
	for {
		c, err := l.listener.Accept()
		switch {
		case err == nil:
			backoff = 0
			l.admit(c)
		case errors.Is(err, net.ErrClosed):
			return
		default: // out of descriptors and the like: wait, others may close theirs
			backoff = min(max(2*backoff, 5*time.Millisecond), time.Second)
			l.logger.Error("accept raft connection", "error", err, "wait", backoff)
			select {
			case <-time.After(backoff):
			case <-l.done:
				return
			}
		}
	}
}

// admit takes the connection into account and reads its preamble beside the accept loop.
func (l *Layer) admit(c net.Conn) {
	l.mu.Lock()
	full := len(l.open) >= MaxConns
	if !l.closed && !full {
		l.open[c] = struct{}{}
		l.running.Go(func() { l.receive(c) })
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	if full {
		l.logger.Warn("close raft connection: too many", "peer", c.RemoteAddr(), "limit", MaxConns)
	}
	_ = c.Close()
}

// receive reads the preamble and hands the connection to Accept.
func (l *Layer) receive(c net.Conn) {
	counted := &conn{Conn: c, layer: l, stall: l.stall}
	if err := l.welcome(c); err != nil {
		l.logger.Warn("close raft connection", "peer", c.RemoteAddr(), "error", err)
		_ = counted.Close()
		return
	}
	select {
	case l.ready <- counted:
	case <-l.done:
		_ = counted.Close()
	}
}

func (l *Layer) welcome(c net.Conn) error {
	if err := tune(c); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return err
	}
	if err := readPreamble(c, l.cluster, l.id); err != nil {
		return err
	}
	return c.SetReadDeadline(time.Time{})
}
