package bulk

import "net/netip"

// refusedStrangers says that strangers have as many connections as they may.
const refusedStrangers = "stranger-limit"

// requestorKey is who a connection counts for: a source address, or who showed a certificate with names that the policy knows.
type requestorKey struct {
	addr  netip.Addr
	names string
}

// rename gives a connection whose handshake has told who its requestor is the place of that requestor, or tells why there is none; it is
// a stranger's again then, until it is closed.
func (a *admission) rename(c *conn, who identity) (why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, open := a.conns[c]; !open {
		return refusedLimit // it has made room meanwhile
	}
	a.forget(c) // its own place is free for it
	r, why := a.place(who.key, who.entry)
	c.requestor, c.entry = r, who.entry
	a.enter(c)
	return why
}

// enter counts an open connection. mu is held.
func (a *admission) enter(c *conn) {
	a.conns[c] = struct{}{}
	if c.requestor == nil {
		a.strangers++
		c.server.metrics.strangers.Inc()
		return
	}
	c.requestor.connections++
	c.server.metrics.connections.Inc()
}
