package bulk

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// Why a connection ended, as metrics and log name it.
type reason string

const (
	endDone       reason = "done"          // every answer sent and the requestor had closed its half, or the server drained
	endIdle       reason = "idle"          // no query for IdleTimeout
	endEvicted    reason = "evicted"       // made room for a newcomer
	endStalled    reason = "stalled"       // read nothing for BULK_LQ_DATA_TIMEOUT
	endHalfFrame  reason = "frame-timeout" // a frame not complete within BULK_LQ_DATA_TIMEOUT
	endShortFrame reason = "short-frame"   // a frame under 4 octets
	endFailed     reason = "failed"        // an answer could not go on
	endView       reason = "view"          // an answer's view became too old or kept too much
	endRetired    reason = "retired"       // idle while the server was about to stop
	endDrain      reason = "drain"         // the server stopped before the answers were sent
	endReset      reason = "reset"         // the peer is gone
)

// What bounds the end of a connection.
const (
	retireIdle    = time.Second           // without a query, of a connection to a server that is about to stop
	evictTimeout  = time.Second           // for the last octets of a connection that made room: it no longer counts
	hurryTimeout  = 10 * time.Millisecond // the same, while as many as may be open are leaving already
	lingerTimeout = time.Second           // for the peer to close, so that unread input does not turn our last octets into a reset
	blockedCheck  = time.Second           // how often a blocked sender looks at the age of its views
)

// conn is one accepted connection. mu guards what the receiver, the sender and the server share; deadlines of the socket are
// set with mu held, so that they always follow from this state.
type conn struct {
	number     uint64 // in the order of admission
	server     *Server
	socket     net.Conn
	peer       netip.AddrPort
	entry      *leasequery.Requestor // its policy; nil for a stranger
	requestor  *requestor            // its source address's counts
	maxQueries int                   // side by side
	log        *slog.Logger
	ctx        context.Context // ends when the connection is to end: what waits for it stops waiting
	cancel     context.CancelFunc
	layer      layer         // what is spoken through: the socket, or TLS
	inbox      inbox         // the receiver's
	begun      []*query      // the receiver's: begun, not yet handed over
	wake       chan struct{} // one token: the sender has something to look at
	room       chan struct{} // one token: the receiver may have room for another query
	received   chan struct{} // closed when the receiver has ended

	mu         sync.Mutex
	queries    []*query  // running, in order of arrival
	handed     []*query  // of these, those that the sender has not taken yet
	idleSince  time.Time // when the last query's last octet was with the kernel: IdleTimeout counts from then
	quietSince time.Time // when the last query's last message was made, or the connection: who makes room is decided by it
	frameSince time.Time // when the first octet of the frame that is not complete came; zero without one
	receiving  bool      // false once no further query is read
	unread     bool      // messages may have come that the receiver has not looked at
	draining   bool      // no further query is to be read
	ending     reason    // not empty: running answers end with QueryTerminated now
	endText    string    // what QueryTerminated says
	aborting   bool      // the sender has seen ending and writes the last messages
	hurried    bool      // it must not linger: too many that made room do

	subscription *query      // has the connection for itself; nil without one
	news         atomic.Bool // the subscription may have something to tell
}

// newConn is a connection that has not begun: serve does.
func newConn(s *Server, socket net.Conn, peer netip.AddrPort, entry *leasequery.Requestor, r *requestor) *conn {
	now := time.Now()
	c := &conn{
		server: s, socket: socket, peer: peer, entry: entry, requestor: r,
		maxQueries: s.config.MaxQueriesPerConnection,
		layer:      layer{in: socket, out: socket},
		log:        s.log.With("requestor", peer.String()),
		wake:       make(chan struct{}, 1),
		room:       make(chan struct{}, 1),
		received:   make(chan struct{}),
		idleSince:  now,
		quietSince: now, // a newcomer, whose query is on its way, is not the longest idle one
		receiving:  true,
	}
	if entry == nil {
		c.layer.until = now.Add(s.config.TLS.HandshakeTimeout)
	} else {
		c.maxQueries = orDefault(entry.MaxQueriesPerConnection, c.maxQueries)
	}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	return c
}

// serve runs the connection until it is closed and everything that it held is given back.
func (c *conn) serve() {
	go c.receive()
	s := newSender(c)
	why, orderly := s.run()
	c.cancel()
	if !orderly {
		reset(c.socket)
		c.close()
	}
	<-c.received
	c.releaseAll()
	c.server.metrics.closed.WithLabelValues(string(why)).Inc()
	if s.subscribed {
		c.server.metrics.active.Ended.WithLabelValues(string(why)).Inc()
	}
	c.log.Debug("bulk leasequery connection over", "reason", string(why))
	if orderly {
		if !c.isHurried() {
			c.linger()
		}
		c.close()
	}
}

func (c *conn) isHurried() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hurried
}

// close closes the socket. Both ends of a connection may come first, so an error says only that it was closed before.
func (c *conn) close() { _ = c.socket.Close() }

// linger closes the sending half, with TLS by close_notify, and reads on, for a short while, until the peer closes too: closing with unread input would
// reset the connection and could destroy the last messages on their way.
func (c *conn) linger() {
	if c.closeWrite() != nil {
		return
	}
	// Without a deadline the read below could wait for ever; then it is better not to wait at all.
	if c.socket.SetReadDeadline(time.Now().Add(lingerTimeout)) != nil {
		return
	}
	// Whatever ends this reading, the close that follows is right.
	_, _ = io.Copy(io.Discard, c.socket)
}

// end makes the running answers end with QueryTerminated and the connection close behind them. The first reason counts.
func (c *conn) end(why reason, text string) {
	c.mu.Lock()
	if c.ending == "" {
		c.ending, c.endText = why, text
		c.armRead(time.Now())
		c.armWrite(time.Time{})
	}
	c.mu.Unlock()
	c.cancel()
	signal(c.wake)
}

// evict closes the connection if no query runs on it, and tells whether it did. What was already gathered of the last answer
// still goes out, at once if it is hurried. A query that is on its way is not lost to the requestor: it sees the close and asks again (RFC
// 5460 7.4).
func (c *conn) evict(hurried bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy() {
		return false
	}
	c.ending, c.hurried = endEvicted, hurried
	c.armRead(time.Now())
	c.armWrite(time.Time{})
	signal(c.wake)
	signal(c.room) // the receiver may wait for it, and the sender for the receiver
	return true
}

// idle tells since when no query has run; ok is false while one does. One whose last octets are being handed to the kernel
// does not: its requestor may have them before this server knows, and open its next connection.
func (c *conn) idle() (since time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.quietSince, !c.busy()
}

// busy tells whether a query runs, or the connection ends anyway. mu is held.
func (c *conn) busy() bool {
	return c.ending != "" || slices.ContainsFunc(c.queries, func(q *query) bool { return !q.ended })
}

// enter makes q one of the running queries. A transaction-id that is still in use is refused: answering it would break the
// query that runs (RFC 5460 6.5).
func (c *conn) enter(q *query) (duplicate, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending != "" {
		return false, false
	}
	for _, other := range c.queries {
		if other.id == q.id && !other.ended {
			return true, false
		}
	}
	if q.joined {
		if c.draining {
			return false, false
		}
		c.subscription = q
	} else {
		c.server.metrics.running.Inc()
	}
	c.queries = append(c.queries, q)
	return false, true
}

// finish frees q's transaction-id. It must come before the last message is sent: the requestor may use it again as soon as it
// has read that.
func (c *conn) finish(q *query) {
	q.close()
	c.mu.Lock()
	q.ended = true
	c.quietSince = time.Now()
	c.mu.Unlock()
}

// leave takes q out of the running queries and gives back what it held.
func (c *conn) leave(q *query) {
	q.close()
	if q.token {
		c.requestor.queries.Release(1)
	}
	if q.joined {
		c.unjoin(q)
	} else {
		c.server.metrics.running.Dec()
	}
	c.mu.Lock()
	if c.subscription == q {
		c.subscription = nil
	}
	c.queries = slices.DeleteFunc(c.queries, func(other *query) bool { return other == q })
	if len(c.queries) == 0 {
		c.idleSince = time.Now()
		// Together with the last octet of its answer the requestor sees the close: later its next query may be on its way.
		c.draining = c.draining || (c.server.retiring.Load() && !c.unread)
		c.armRead(c.idleSince)
	}
	c.mu.Unlock()
	signal(c.room)
}

// releaseAll gives back what queries hold that never ended. Both goroutines have stopped using them.
func (c *conn) releaseAll() {
	for len(c.queries) > 0 {
		c.leave(c.queries[0])
	}
}

// armRead sets the socket's read deadline as the state wants it. mu is held. Frames and idleness have their time; while a
// query runs and no frame has begun there is none.
func (c *conn) armRead(now time.Time) {
	var deadline time.Time
	switch {
	case c.ending != "" || c.draining:
		deadline = now.Add(-time.Second)
	case !c.layer.until.IsZero():
		deadline = c.layer.until
	case !c.frameSince.IsZero():
		deadline = c.frameSince.Add(c.server.config.DataTimeout)
	case len(c.queries) == 0:
		deadline = c.idleSince.Add(c.server.idleTimeout())
	}
	// Only a closed socket refuses a deadline, and reading it fails at once anyway.
	_ = c.socket.SetReadDeadline(deadline)
}

// armWrite sets the socket's write deadline. mu is held. An end that the sender has not seen yet interrupts it.
func (c *conn) armWrite(deadline time.Time) {
	if c.ending != "" && !c.aborting {
		deadline = time.Now().Add(-time.Second)
	}
	// Only a closed socket refuses a deadline, and writing to it fails at once anyway.
	_ = c.socket.SetWriteDeadline(deadline)
}

// signal puts the one token into ch if it is not there.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// transactionID is how logs show a transaction-id.
func transactionID(id dhcpv6.TransactionID) slog.Attr {
	return slog.Uint64("transaction_id", uint64(id[0])<<16|uint64(id[1])<<8|uint64(id[2]))
}
