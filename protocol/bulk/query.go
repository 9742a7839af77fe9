package bulk

import (
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// answer is what a query streams: *leasequery.Answer, or one message made here.
type answer interface {
	// Next appends one unframed message to dst and tells whether another follows.
	Next(dst []byte) (out []byte, more bool, err error)
	// Abort appends the message that ends the answer early with a status: LEASEQUERY-REPLY if none was sent, else
	// LEASEQUERY-DONE (RFC 5460 7.2).
	Abort(dst []byte, s dhcpv6.Status, text string) ([]byte, error)
	// Failed tells that the server could not serve the query: its connection ends behind the status (RFC 5460 7.4).
	Failed() bool
	// Pinned is how many octets of old state only this answer keeps in memory.
	Pinned() int64
	// Kept is how many octets of old state this answer and those that began later keep in memory together.
	Kept() int64
	// Close gives back what the answer holds.
	Close()
}

// query is one message that gets an answer, from its arrival until the answer's last octet is with the kernel.
type query struct {
	id      dhcpv6.TransactionID
	arrived time.Time
	begun   time.Time // when it got its view
	token   bool      // whether it holds one of its requestor's tokens
	joined  bool      // whether it is a subscription, and holds a place among them
	answer  answer    // nil until it was begun
	closed  bool      // whether answer was closed
	ended   bool      // whether its last message is gathered: from then on its transaction-id is free; guarded by conn.mu
}

// close gives back what the answer holds, once.
func (q *query) close() {
	if q.answer != nil && !q.closed {
		q.closed = true
		q.answer.Close()
	}
}

// reply is an answer of one message that is made beforehand.
type reply struct{ message []byte }

func (r *reply) Next(dst []byte) ([]byte, bool, error) { return append(dst, r.message...), false, nil }

// Abort sends the message all the same: it is the answer, and it is short.
func (r *reply) Abort(dst []byte, _ dhcpv6.Status, _ string) ([]byte, error) {
	return append(dst, r.message...), nil
}

func (r *reply) Failed() bool  { return false }
func (r *reply) Pinned() int64 { return 0 }
func (r *reply) Kept() int64   { return 0 }
func (r *reply) Close()        {}
