package requestor

import (
	"fmt"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// DefaultMaxBindings is how many bindings a Replica holds at most, if nothing else is said.
const DefaultMaxBindings = 16 << 20

// ActiveQuery is what Watch subscribes to (RFC 7653 6.2.1).
type ActiveQuery struct {
	// Query is the filter: any type that a bulk query may have, with what it needs, or no type at all for every change there is.
	// StartTime is where to go on from: a base time that a server of the same cluster gave; nil is now. EndTime may not be set
	// (RFC 7653 6.3.3), BaseTime need not: base times are always asked for.
	Query
	// Full has everything told that there is already, as if data were missing from the beginning, before EventCatchUpComplete is. Not with
	// StartTime.
	Full bool
	// Recover are the bulk queries that together bring everything, for a subscription without a type: RFC 5460 has no query for
	// everything, so whoever subscribes to it must know what to ask for when data is missing, say each of its links. Without them only
	// bindings that are known are looked up again, and EventCatchUpComplete says Partial. With a type the same query is the recovery, and
	// Recover must be empty.
	Recover []Query
	// Strict has the recovery fail, to be tried again, when a server says NotConfigured to one of its bulk queries. Else that is an answer:
	// nobody is there, and what was known of there has ended.
	Strict bool
	// Found, if not nil, is called with each client of a recovery's bulk answers that can be read, as it was answered: also where the
	// subscription has told newer of it, or the same, and there is no event. by counts from 1 which of Recover it answers, and is 0 without
	// Recover. It is called as the handler is, before the event there may be; its error ends the Watch and is Watch's.
	Found func(by int, c *Client) error
	// Table is what the subscription keeps its bindings in, to know after missing data what has ended; it may be read at any time. Nil
	// makes one.
	Table *Replica
}

// everything tells whether q has no filter.
func (q *ActiveQuery) everything() bool { return q.Type == 0 }

// check tells whether q can be asked; the error wraps ErrQuery.
func (q *ActiveQuery) check(clientID []byte) error {
	switch {
	case q.EndTime != nil:
		return fmt.Errorf("%w: a subscription has no end time (RFC 7653 6.3.3)", ErrQuery)
	case q.everything() && q.LinkAddress.IsValid() && !q.LinkAddress.IsUnspecified():
		return fmt.Errorf("%w: a link-address needs a query type", ErrQuery)
	case !q.everything() && len(q.Recover) > 0:
		return fmt.Errorf("%w: a subscription with a query type recovers by the same query", ErrQuery)
	case q.Full && q.StartTime != nil:
		return fmt.Errorf("%w: everything that there is, and a start time", ErrQuery)
	case q.Full && q.everything() && len(q.Recover) == 0:
		return fmt.Errorf("%w: no bulk query brings everything (RFC 5460 5.3): say which do together", ErrQuery)
	}
	for _, r := range q.Recover {
		if r.StartTime != nil || r.EndTime != nil {
			return fmt.Errorf("%w: a recovery has no start or end time", ErrQuery)
		}
		if _, err := r.message(dhcpv6.TransactionID{}, clientID); err != nil {
			return err
		}
	}
	_, err := q.message(dhcpv6.TransactionID{}, clientID, q.StartTime)
	return err
}

// message is q as an ACTIVELEASEQUERY that begins at start, or now if that is nil. Without a type there is no OPTION_LQ_QUERY
// (RFC 7653 6.2.1: MUST NOT), and OPTION_ORO stands in the message.
func (q *ActiveQuery) message(id dhcpv6.TransactionID, clientID []byte, start *uint32) (dhcpv6.Message, error) {
	query := q.Query
	query.BaseTime, query.StartTime = true, start
	if !q.everything() {
		m, err := query.message(id, clientID)
		m.Type = dhcpv6.MessageActiveLeasequery
		return m, err
	}
	options, err := identify(clientID)
	if err != nil {
		return dhcpv6.Message{}, err
	}
	out, err := query.appendORO(options)
	if err != nil {
		return dhcpv6.Message{}, err
	}
	if out, err = query.appendTimes(out); err != nil {
		return dhcpv6.Message{}, fmt.Errorf("%w: %w", ErrQuery, err)
	}
	return dhcpv6.Message{Type: dhcpv6.MessageActiveLeasequery, TransactionID: id, Options: out}, nil
}

// recovery is the bulk queries that bring everything that q is about.
func (q *ActiveQuery) recovery() []Query {
	queries := q.Recover
	if !q.everything() {
		queries = []Query{q.Query}
	}
	out := make([]Query, len(queries))
	for i, r := range queries {
		r.BaseTime, r.StartTime = true, nil
		r.RelayData = r.RelayData || q.RelayData
		if len(r.Options) == 0 {
			r.Options = q.Options
		}
		out[i] = r
	}
	return out
}
