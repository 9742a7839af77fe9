package kea

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// connections bounds what is open at the listener for pushes. One that has never sent a command goes before one that has, the oldest
// first: Kea keeps its own open, and nothing tells us, nor Kea's operator, what it loses when one is closed.
type connections struct {
	server *Server
	wait   sync.WaitGroup // for all to be closed

	mu     sync.Mutex
	opened uint64
	open   map[net.Conn]*peer
}

// peer is one connection.
type peer struct {
	number uint64
	proven atomic.Bool // it has sent a command
}

func newConnections(s *Server) *connections {
	return &connections{server: s, open: map[net.Conn]*peer{}}
}

// peerKey is where a request's context has its *peer.
type peerKey struct{}

// admit notes a new connection, and closes one if there are too many.
func (n *connections) admit(ctx context.Context, c net.Conn) context.Context {
	n.wait.Add(1)
	n.mu.Lock()
	n.opened++
	p := &peer{number: n.opened}
	n.open[c] = p
	var turned net.Conn
	if len(n.open) > pushConns {
		turned = n.victim(c)
		delete(n.open, turned)
	}
	n.mu.Unlock()
	if turned != nil {
		n.server.ledger.add(func(t *ServerTotals) { t.Turned++ })
		n.server.complain("Too many connections to the listener for pushes: one is closed", "from", turned.RemoteAddr(), "most", pushConns)
		n.server.miss()    // it may have been Kea's
		_ = turned.Close() // its goroutine finds out, and StateClosed follows
	}
	return context.WithValue(ctx, peerKey{}, p)
}

// victim is the oldest connection that has never sent a command, else the new one.
func (n *connections) victim(fresh net.Conn) net.Conn {
	oldest := fresh
	for c, p := range n.open {
		if !p.proven.Load() && p.number < n.open[oldest].number {
			oldest = c
		}
	}
	return oldest
}

// note lets go of a connection that is closed. When one of Kea's is, Kea may have ended.
func (n *connections) note(c net.Conn, state http.ConnState) {
	if state != http.StateClosed {
		return
	}
	n.mu.Lock()
	p := n.open[c]
	delete(n.open, c)
	n.mu.Unlock()
	if p != nil && p.proven.Load() {
		n.server.glance()
	}
	n.wait.Done()
}

// prove notes that a request's connection has sent a command, and gives its number. A new one is a sign that Kea has begun.
func (s *Server) prove(r *http.Request) uint64 {
	p, ok := r.Context().Value(peerKey{}).(*peer)
	if !ok {
		return 0
	}
	if !p.proven.Swap(true) {
		s.glance()
	}
	return p.number
}
