package requestor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// QueryAny asks the servers in turn until one of them has answered whole, then calls each with every client of that answer.
// A server that cannot be reached, whose connection ends early or that ends with an error status is followed by the next one,
// from the start; after the last one comes a pause and another round, except that servers which refused the query for what it
// is are not asked again. Without a complete answer the error is *AttemptsError, or wraps the context's.
//
// With Config.Stream clients are handed over as they come; an answer that breaks off behind its first client is then an error
// at once.
func QueryAny(ctx context.Context, servers []string, config Config, q Query, each func(*Client) error) (err error) {
	config = config.withDefaults()
	if _, err := q.message(dhcpv6.TransactionID{}, config.ClientID); err != nil {
		return err
	}
	t := &turns{config: config, query: q, each: each, spool: spool{dir: config.SpoolDir, limit: config.SpoolMemory}}
	defer func() { err = errors.Join(err, t.spool.close()) }()
	for round := range config.Rounds {
		if round > 0 {
			if err := pause(ctx, config, round); err != nil {
				return err
			}
		}
		if servers, err = t.round(ctx, servers); err == nil {
			return nil
		}
		if _, all := errors.AsType[*AttemptsError](err); !all || len(servers) == 0 {
			return err
		}
	}
	return err
}

// turns is one QueryAny.
type turns struct {
	config   Config
	query    Query
	each     func(*Client) error
	spool    spool
	attempts []Attempt
}

// sinkError is an error of the function that was given the clients: asking another server does not mend it.
type sinkError struct{ err error }

func (e *sinkError) Error() string { return e.err.Error() }

// round asks each server once. It returns those that are worth asking again, and *AttemptsError.
func (t *turns) round(ctx context.Context, servers []string) ([]string, error) {
	again := slices.Clone(servers)
	for _, server := range servers {
		given, err := t.attempt(ctx, server)
		sink, isSink := errors.AsType[*sinkError](err)
		switch {
		case err == nil:
			return nil, nil
		case isSink:
			return nil, sink.err
		case ctx.Err() != nil:
			return nil, fmt.Errorf("query: %w", ctx.Err())
		case given:
			return nil, err
		}
		t.attempts = append(t.attempts, Attempt{Server: server, Err: err})
		if refusal(err) {
			again = slices.DeleteFunc(again, func(s string) bool { return s == server })
		}
	}
	return again, &AttemptsError{Attempts: t.attempts}
}

// refusal tells whether the server refused the query for what it is: asking again gets the same answer.
func refusal(err error) bool {
	s, ok := errors.AsType[*StatusError](err)
	return ok && !s.Partial && s.Status != dhcpv6.StatusQueryTerminated && s.Status != dhcpv6.StatusUnspecFail
}

// attempt asks one server. given tells whether a client of a broken answer has been handed over.
func (t *turns) attempt(ctx context.Context, server string) (given bool, err error) {
	if err := t.spool.reset(); err != nil {
		return false, &sinkError{err}
	}
	conn, err := Dial(ctx, server, t.config)
	if err != nil {
		return false, err
	}
	defer func() {
		// The answer is complete or has failed by now; closing changes neither.
		_ = conn.Close()
	}()
	x, err := conn.ask(ctx, t.query)
	if err != nil {
		return false, err
	}
	err = x.run(ctx, func(message []byte, client *Client) error {
		sink := t.spool.add
		if t.config.Stream {
			given = true
			sink = func([]byte) error { return t.each(client) }
		}
		if err := sink(message); err != nil {
			return &sinkError{err}
		}
		return nil
	})
	if err != nil || t.config.Stream {
		return given, err
	}
	return false, t.replay()
}

// replay hands over a complete answer.
func (t *turns) replay() error {
	r, err := t.spool.reader()
	if err != nil {
		return &sinkError{err}
	}
	frames := dhcpv6.NewReader(r, make([]byte, readBuffer))
	var client Client
	for {
		frame, err := frames.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &sinkError{fmt.Errorf("read spool: %w", err)}
		}
		m, err := dhcpv6.ParseMessage(frame)
		if err != nil {
			return &sinkError{fmt.Errorf("read spool: %w", err)}
		}
		if _, err := client.parseMessage(m); err != nil {
			return &sinkError{fmt.Errorf("read spool: %w", err)}
		}
		if err := t.each(&client); err != nil {
			return &sinkError{err}
		}
	}
}

// pause waits before another round: twice as long each time, and never the same for many requestors at once.
func pause(ctx context.Context, config Config, round int) error {
	d := config.MinBackoff
	for i := 1; i < round && d < config.MaxBackoff; i++ {
		d *= 2
	}
	d = min(d, config.MaxBackoff)
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("query: %w", ctx.Err())
	}
}
