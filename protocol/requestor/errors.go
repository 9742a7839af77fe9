package requestor

import (
	"errors"
	"fmt"
	"strings"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// Errors that callers may want to tell apart.
var (
	// ErrIncomplete says that the connection ended before the answer was complete (RFC 5460 6.3.1).
	ErrIncomplete = errors.New("answer incomplete")
	// ErrProtocol says that the server sent what no answer may hold; the connection is of no more use.
	ErrProtocol = errors.New("malformed answer")
	// ErrStalled says that the server sent nothing for Config.DataTimeout (BULK_LQ_DATA_TIMEOUT, RFC 5460 6.3).
	ErrStalled = errors.New("server sends nothing")
	// ErrQuery says that a Query lacks what its type needs.
	ErrQuery = errors.New("query cannot be sent")
	// ErrBroken says that an earlier query left the connection unusable.
	ErrBroken = errors.New("connection is broken")
)

// StatusError is an answer that ended with an error status (RFC 8415 21.13).
type StatusError struct {
	Status dhcpv6.Status
	Text   string // what the server says about it, in UTF-8
	// Partial tells that clients had come before: the status was in LEASEQUERY-DONE rather than in LEASEQUERY-REPLY.
	Partial bool
}

// Error is the status by name, with the server's text.
func (e *StatusError) Error() string {
	s := "server answered " + e.Status.String()
	if e.Partial {
		s = "server ended its answer with " + e.Status.String()
	}
	if e.Text == "" {
		return s
	}
	return s + ": " + e.Text
}

// Attempt is one try at one server.
type Attempt struct {
	Server string // as given to QueryAny
	Err    error
}

// AttemptsError says that no server gave a complete answer. It unwraps to the error of each attempt.
type AttemptsError struct {
	Attempts []Attempt // in the order they were made
}

// Error names every attempt.
func (e *AttemptsError) Error() string {
	var b strings.Builder
	b.WriteString("no complete answer")
	for _, a := range e.Attempts {
		fmt.Fprintf(&b, "; %s: %v", a.Server, a.Err)
	}
	return b.String()
}

// Unwrap is the errors of the attempts.
func (e *AttemptsError) Unwrap() []error {
	errs := make([]error, len(e.Attempts))
	for i, a := range e.Attempts {
		errs[i] = a.Err
	}
	return errs
}

// Refused tells whether every attempt ended with an error status, so that the servers were there and did not want to or could
// not answer.
func (e *AttemptsError) Refused() bool {
	for _, a := range e.Attempts {
		if _, ok := errors.AsType[*StatusError](a.Err); !ok {
			return false
		}
	}
	return len(e.Attempts) > 0
}
