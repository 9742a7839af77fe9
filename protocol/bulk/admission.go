package bulk

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/leasehold/leasehold/protocol/active"
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

// requestor counts what one source address has, or whoever showed a certificate of certain names.
type requestor struct {
	key           requestorKey
	connections   int                 // guarded by admission.mu
	queries       *semaphore.Weighted // tokens of MaxQueriesPerRequestor, handed out in the order they were asked for
	limiter       *rate.Limiter       // nil: it has no rate
	subscriptions active.Share
}

// admission decides which connections may be open (RFC 5460 7.1).
type admission struct {
	config Config

	mu         sync.Mutex
	closed     bool
	admitted   uint64
	conns      map[*conn]struct{}
	strangers  int                // of conns
	leaving    map[*conn]struct{} // made room, and have not ended yet
	requestors map[requestorKey]*requestor
}

// admit makes a connection of an accepted socket, or tells why not. A stranger, whose entry is nil, may only show a certificate. Where a limit is reached the longest idle connection
// makes room: of the same requestor for its own limit, of all for BULK_LQ_MAX_CONNS. A connection in the middle of a message
// counts as idle, or half a message would hold a place for BULK_LQ_DATA_TIMEOUT.
func (a *admission) admit(s *Server, socket net.Conn, peer netip.AddrPort, entry *leasequery.Requestor) (*conn, string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, refusedDraining
	}
	var r *requestor
	if entry == nil {
		if a.strangers >= a.config.TLS.MaxStrangers {
			return nil, refusedStrangers
		}
	} else {
		var why string
		if r, why = a.place(requestorKey{addr: peer.Addr()}, entry); why != "" {
			return nil, why
		}
	}
	c := newConn(s, socket, peer, entry, r)
	a.admitted++
	c.number = a.admitted
	a.enter(c)
	s.serving.Add(1) // under mu: nobody is added once Drain waits
	return c, ""
}

// place finds room for one connection more of a requestor, or tells why there is none. mu is held.
func (a *admission) place(key requestorKey, entry *leasequery.Requestor) (r *requestor, why string) {
	r = a.requestors[key]
	if r == nil {
		r = &requestor{key: key, limiter: a.config.limiterOf(entry)}
		r.queries = semaphore.NewWeighted(int64(orDefault(entry.MaxQueries, a.config.MaxQueriesPerRequestor)))
	}
	if r.connections >= orDefault(entry.MaxConnections, a.config.MaxConnectionsPerRequestor) && !a.makeRoom(r) {
		return nil, refusedRequestor
	}
	if len(a.conns)-a.strangers >= a.config.MaxConnections && !a.makeRoom(nil) {
		return nil, refusedLimit
	}
	a.requestors[key] = r
	return r, ""
}

// makeRoom closes the longest idle connection, of one requestor if r is not nil. mu is held.
func (a *admission) makeRoom(r *requestor) bool {
	for {
		var longest *conn
		var since time.Time
		for c := range a.conns {
			if c.requestor == nil || r != nil && c.requestor != r {
				continue // a stranger's place is no other's
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
		// Those that made room wait a little for their requestors to close. In a flood of newcomers these would become any number.
		if longest.evict(len(a.leaving) >= a.config.MaxConnections) {
			a.forget(longest)
			a.leaving[longest] = struct{}{}
			return true
		}
	}
}

// remove forgets a connection that has ended.
func (a *admission) remove(c *conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.leaving, c)
	a.forget(c)
}

// forget takes c out of the counts, once. mu is held.
func (a *admission) forget(c *conn) {
	if _, ok := a.conns[c]; !ok {
		return
	}
	delete(a.conns, c)
	if c.requestor == nil {
		a.strangers--
		c.server.metrics.strangers.Dec()
		return
	}
	c.server.metrics.connections.Dec()
	if c.requestor.connections--; c.requestor.connections == 0 && !c.requestor.spent() {
		delete(a.requestors, c.requestor.key)
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
