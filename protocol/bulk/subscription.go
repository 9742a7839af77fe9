package bulk

import (
	"context"
	"time"

	"github.com/leasehold/leasehold/protocol/active"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// subscription is the answer to an ACTIVELEASEQUERY (RFC 7653 9.3): *leasequery.Subscription. Other than an answer it goes on until it is
// refused or has to end: until then Next says that more follows, and may append nothing.
type subscription interface {
	answer
	// Waiting tells, when Next has appended nothing, that there is nothing to tell until something changes. Otherwise Next is to be
	// called again: it has looked through some changes, and none was for this requestor.
	Waiting() bool
	// Idle is Next, but appends the LEASEQUERY-DATA that tells that the connection is alive (RFC 7653 8.4) where there is nothing else.
	Idle(dst []byte) (out []byte, more bool, err error)
	// Pause gives back what it holds of the state; Next takes the newest.
	Pause()
	// Behind tells whether it has much to look through.
	Behind() bool
}

// Why a connection ended because of a subscription, beside the reasons of conn.
const (
	endUnsubscribed reason = "unsubscribed" // the requestor closed its half: a subscription ends at once
	endRefused      reason = "refused"      // the subscription was refused with an error status (RFC 7653 9.3)
	endStopped      reason = "stopped"      // the subscription could not go on, mostly on a node that is no longer up to date
)

// Why a subscription is refused here, beside the reasons of active's hub.
const (
	refusedOff       = "off"       // active leasequery is not enabled
	refusedInsecure  = "insecure"  // asked in clear
	refusedExclusive = "exclusive" // beside another query
	refusedRetiring  = "retiring"  // the server is about to stop
	refusedStatus    = "status"    // for what was asked: leasequery's statuses tell which
)

// offer lets requestors subscribe. It comes before Run. changed gives a channel that is closed by the next change.
func (s *Server) offer(subscribe func(context.Context, leasequery.Request) (subscription, error), changed func() <-chan struct{}) {
	s.subscribe = subscribe
	s.hub = active.NewHub(s.config.Active, changed, s.metrics.active)
}

// refusal is what an ACTIVELEASEQUERY or a query beside a subscription gets instead of an answer.
type refusal struct {
	why    string // for the metric; empty: it is not refused
	status dhcpv6.Status
	text   string
}

// subscribable tells why nobody may subscribe on this connection now (RFC 7653 9.1, 9.2, 9.4).
func (c *conn) subscribable() refusal {
	switch {
	case c.server.hub == nil:
		return refusal{refusedOff, dhcpv6.StatusNotSupported, "active leasequery is not available"}
	case !c.secure() && !c.server.config.Active.Insecure:
		return refusal{refusedInsecure, dhcpv6.StatusNotAllowed, "active leasequery is not allowed in clear: use TLS"}
	case c.occupied():
		return refusal{refusedExclusive, dhcpv6.StatusMalformedQuery, "a subscription needs a connection of its own"}
	case c.server.retiring.Load():
		return refusal{refusedRetiring, dhcpv6.StatusQueryTerminated, "the server is about to stop; ask another"}
	}
	switch why := c.server.hub.Join(c, &c.requestor.subscriptions, c.entry.MaxSubscriptions); why {
	case "":
		return refusal{}
	case active.RefusedRequestor:
		return refusal{why, dhcpv6.StatusQueryTerminated, "too many subscriptions of this requestor"}
	default:
		return refusal{why, dhcpv6.StatusQueryTerminated, "too many subscriptions; ask another server"}
	}
}

// startSubscription takes an ACTIVELEASEQUERY. One that is refused ends the connection behind the answers that run (RFC 7653 9.3), but never
// another subscription.
func (c *conn) startSubscription(m dhcpv6.Message) error {
	if r := c.subscribable(); r.why != "" {
		refused, err := c.refuse(m, r.status, r.text)
		if err != nil || !refused {
			return err
		}
		c.server.metrics.active.Refused.WithLabelValues(r.why).Inc()
		if c.subscribed() {
			return nil
		}
		return errStop
	}
	q := &query{id: m.TransactionID, arrived: time.Now(), joined: true}
	if entered, err := c.admit(q); !entered {
		c.unjoin(q)
		return err
	}
	if c.server.retiring.Load() { // Retire may have looked at this connection before
		c.retire()
	}
	sub, err := c.server.subscribe(c.ctx, c.request(m))
	_, err = c.take(q, m, sub, err)
	return err
}

// occupied tells whether any query runs, so that there is no room for a subscription.
func (c *conn) occupied() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.busy()
}

// subscribed tells whether the connection is taken by a subscription.
func (c *conn) subscribed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.subscription != nil && !c.subscription.ended
}

// besideSubscription refuses a query on a connection that is taken by a subscription, which goes on (RFC 7653 9.4).
func (c *conn) besideSubscription(m dhcpv6.Message) error {
	_, err := c.refuse(m, dhcpv6.StatusMalformedQuery, "this connection has a subscription; ask on another")
	return err
}

// unjoin gives back the place that q has among the subscriptions.
func (c *conn) unjoin(q *query) {
	if q.joined {
		q.joined = false
		c.server.hub.Leave(c, &c.requestor.subscriptions)
	}
}

// Wake is for the hub: the subscription may have news.
func (c *conn) Wake() {
	c.news.Store(true)
	signal(c.wake)
}
