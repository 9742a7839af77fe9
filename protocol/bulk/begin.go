package bulk

import (
	"context"
	"errors"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// begin starts the answer of a LEASEQUERY. The requestor's token is waited for first, so what is past its limit stays unread.
func (c *conn) begin(m dhcpv6.Message) error {
	q := &query{id: m.TransactionID, arrived: time.Now()}
	if entered, err := c.admit(q); !entered {
		return err
	}
	if !c.requestor.queries.TryAcquire(1) {
		c.handOver(true) // the answers that hold the tokens may be our own
		if c.requestor.queries.Acquire(c.ctx, 1) != nil {
			c.leave(q)
			return errStop
		}
	}
	q.token = true
	a, err := c.server.begin(c.ctx, c.request(m))
	if begun, err := c.take(q, m, a, err); !begun {
		return err
	}
	c.server.metrics.queries.Inc()
	return nil
}

// admit makes q one of the running queries. entered is false, and the message discarded, when its transaction-id is in use; errStop
// when the connection is to end.
func (c *conn) admit(q *query) (entered bool, err error) {
	switch duplicate, ok := c.enter(q); {
	case duplicate:
		c.discard(discardDuplicate)
		return false, nil
	case !ok:
		return false, errStop
	}
	return true, nil
}

// request is m as the engine wants it.
func (c *conn) request(m dhcpv6.Message) leasequery.Request {
	return leasequery.Request{Message: m, Peer: c.peer, Requestor: c.entry, Over: leasequery.TCP}
}

// take makes a, which the engine began for m unless there is an error, the answer of q. begun is false when m gets none, and errStop
// says that the connection ends.
func (c *conn) take(q *query, m dhcpv6.Message, a answer, err error) (begun bool, _ error) {
	switch {
	case errors.Is(err, leasequery.ErrDiscard):
		c.leave(q)
		c.discarded(err)
		return false, nil
	case err != nil:
		return false, c.notBegun(q, m, err)
	}
	q.answer, q.begun = a, time.Now()
	c.begun = append(c.begun, q)
	return true, nil
}

// notBegun ends the connection because a query could not be begun; mostly because the connection is to end anyway. The query
// gets QueryTerminated like those that run.
func (c *conn) notBegun(q *query, m dhcpv6.Message, err error) error {
	const text = "the server could not begin this query"
	if !errors.Is(err, context.Canceled) {
		c.log.Error("leasequery not begun", transactionID(m.TransactionID), "err", err)
	}
	message, err := c.server.refuse(nil, m, dhcpv6.StatusQueryTerminated, text)
	if err != nil {
		c.leave(q)
		c.discarded(err)
	} else {
		q.answer = &reply{message: message}
		c.begun = append(c.begun, q)
	}
	c.end(endFailed, text)
	return errStop
}

// refuse answers m by one message with a status, if m may be answered.
func (c *conn) refuse(m dhcpv6.Message, s dhcpv6.Status, text string) (refused bool, err error) {
	message, err := c.server.refuse(nil, m, s, text)
	if err != nil {
		c.discarded(err)
		return false, nil
	}
	now := time.Now()
	q := &query{id: m.TransactionID, arrived: now, begun: now, answer: &reply{message: message}}
	entered, err := c.admit(q)
	if entered {
		c.begun = append(c.begun, q)
	}
	return entered, err
}
