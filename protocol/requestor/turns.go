package requestor

import (
	"context"
	"errors"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// QueryAny asks the servers in turn until one of them has answered whole, then calls each with every client of that answer.
// A server that cannot be reached, whose connection ends early or that ends with an error status is followed by the next one,
// from the start. One that says nothing for Config.Patience is followed by the next one, too, but not given up: whoever is
// complete first has answered, and nothing of the others is kept. After the last server comes a pause and another round, except
// that servers which refused the query for what it is are not asked again. A name stands for all of its addresses, in turn.
// Without a complete answer the error is *AttemptsError, or wraps the context's, or ErrQuery.
//
// With Config.Stream clients are handed over as they come; an answer that breaks off behind its first client is then an error
// at once.
func QueryAny(ctx context.Context, servers []string, config Config, q Query, each func(*Client) error) (err error) {
	config = config.withDefaults()
	if _, err := q.message(dhcpv6.TransactionID{}, config.ClientID); err != nil {
		return err
	}
	r, err := newRace(servers, config, q, each)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	return r.run(ctx)
}

// refusal tells whether the server refused the query for what it is: asking again gets the same answer.
func refusal(err error) bool {
	s, ok := errors.AsType[*StatusError](err)
	return ok && !s.Partial && s.Status != dhcpv6.StatusQueryTerminated && s.Status != dhcpv6.StatusUnspecFail
}
