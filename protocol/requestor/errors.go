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
	// ErrSilent says that the server has said nothing for Config.Patience: another was asked as well.
	ErrSilent = errors.New("server is silent")
	// ErrQuery says that a Query lacks what its type needs, or that there is no server to ask it.
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
	Server string // as given to QueryAny; with the address, when a name was given
	Err    error
}

// AttemptsError says that no server gave a complete answer. It unwraps to the error of each attempt.
type AttemptsError struct {
	Attempts []Attempt // in the order in which they failed
}

// last is the last attempt at each server, in the order in which they first failed, and how many there were.
func (e *AttemptsError) last() (last []Attempt, count map[string]int) {
	count = map[string]int{}
	place := map[string]int{}
	for _, a := range e.Attempts {
		if count[a.Server]++; count[a.Server] == 1 {
			place[a.Server] = len(last)
			last = append(last, a)
			continue
		}
		last[place[a.Server]] = a
	}
	return last, count
}

// Error names every server, with its last error.
func (e *AttemptsError) Error() string {
	var b strings.Builder
	b.WriteString("no complete answer")
	last, count := e.last()
	for _, a := range last {
		fmt.Fprintf(&b, "; %s: %v", a.Server, a.Err)
		if n := count[a.Server]; n > 1 {
			fmt.Fprintf(&b, " (last of %d attempts)", n)
		}
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

// Refused tells whether every server ended its last attempt with an error status, so that all were there and did not want to or
// could not answer.
func (e *AttemptsError) Refused() bool {
	last, _ := e.last()
	for _, a := range last {
		if _, ok := errors.AsType[*StatusError](a.Err); !ok {
			return false
		}
	}
	return len(last) > 0
}
