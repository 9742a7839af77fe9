package bulk

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/leasehold/leasehold/protocol/leasequery"
)

// Why a newcomer is closed at accept.
const (
	refusedStranger  = "stranger"
	refusedLimit     = "limit"
	refusedRequestor = "requestor-limit"
	refusedDraining  = "draining"
	refusedStarting  = "starting"
	refusedSocket    = "socket"
)

// requestor counts what one source address has.
type requestor struct {
	connections int                 // guarded by admission.mu
	queries     *semaphore.Weighted // tokens of MaxQueriesPerRequestor, handed out in the order they were asked for
}

// admission decides which connections may be open (RFC 5460 7.1).
type admission struct {
	config Config

	mu         sync.Mutex
	closed     bool
	admitted   uint64
	conns      map[*conn]struct{}
	requestors map[netip.Addr]*requestor
}

// admit makes a connection of an accepted socket, or tells why not. Where a limit is reached the longest idle connection
// makes room: of the same requestor for its own limit, of all for BULK_LQ_MAX_CONNS. A connection in the middle of a message
// counts as idle, or half a message would hold a place for BULK_LQ_DATA_TIMEOUT.
func (a *admission) admit(s *Server, socket net.Conn, peer netip.AddrPort, entry *leasequery.Requestor) (*conn, string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, refusedDraining
	}
	r := a.requestors[peer.Addr()]
	if r == nil {
		r = &requestor{queries: semaphore.NewWeighted(int64(orDefault(entry.MaxQueries, a.config.MaxQueriesPerRequestor)))}
	}
	if r.connections >= orDefault(entry.MaxConnections, a.config.MaxConnectionsPerRequestor) && !a.makeRoom(r) {
		return nil, refusedRequestor
	}
	if len(a.conns) >= a.config.MaxConnections && !a.makeRoom(nil) {
		return nil, refusedLimit
	}
	a.requestors[peer.Addr()] = r
	r.connections++
	c := newConn(s, socket, peer, entry, r)
	a.admitted++
	c.number = a.admitted
	a.conns[c] = struct{}{}
	s.metrics.connections.Inc()
	s.serving.Add(1) // under mu: nobody is added once Drain waits
	return c, ""
}

// makeRoom closes the longest idle connection, of one requestor if r is not nil. mu is held.
func (a *admission) makeRoom(r *requestor) bool {
	for {
		var longest *conn
		var since time.Time
		for c := range a.conns {
			if r != nil && c.requestor != r {
				continue
			}
			at, ok := c.idle()
			if !ok || longest != nil && (at.After(since) || at.Equal(since) && c.number > longest.number) {
				continue
			}
			longest, since = c, at
		}
		if longest == nil {
			return false
		}
		if longest.evict() {
			a.forget(longest)
			return true
		}
	}
}

// remove forgets a connection that has ended.
func (a *admission) remove(c *conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget(c)
}

// forget takes c out of the counts, once. mu is held.
func (a *admission) forget(c *conn) {
	if _, ok := a.conns[c]; !ok {
		return
	}
	delete(a.conns, c)
	c.server.metrics.connections.Dec()
	if c.requestor.connections--; c.requestor.connections == 0 {
		delete(a.requestors, c.peer.Addr())
	}
}

// close admits nobody from now on.
func (a *admission) close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
}

// each calls f for every open connection.
func (a *admission) each(f func(*conn)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for c := range a.conns {
		f(c)
	}
}
