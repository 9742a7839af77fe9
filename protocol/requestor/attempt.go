package requestor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// sinkError is an error of the function that was given the clients, or of the spool: asking another server does not mend it.
type sinkError struct{ err error }

func (e *sinkError) Error() string { return e.err.Error() }

// errOvertaken ends an attempt that was going to hand over its first client when another already had.
var errOvertaken = errors.New("another server answered first")

// attempt is one try at one address of a server.
type attempt struct {
	race   *race
	target *target
	spool  spool
	heard  atomic.Int64 // when octets last came, or the attempt began: nanoseconds since the race did
	silent bool         // the next server was asked because of it; the race's
	err    error        // how it ended; set before the race is told
}

// hear notes that the server has said something.
func (a *attempt) hear() { a.heard.Store(int64(time.Since(a.race.start))) }

// run asks the server, and tells the race how it ended unless nobody wants to know any more.
func (a *attempt) run(ctx context.Context) {
	a.err = a.ask(ctx)
	select {
	case a.race.ended <- a:
	case <-ctx.Done():
	}
}

func (a *attempt) ask(ctx context.Context) error {
	config := a.race.config
	config.asked = a.target.asked
	conn, err := connect(ctx, a.target.address, config, a.hear)
	if err != nil {
		return err
	}
	defer func() {
		// The answer is complete or has failed by now; closing changes neither.
		_ = conn.Close()
	}()
	x, err := conn.ask(ctx, a.race.query)
	if err != nil {
		return err
	}
	sink := a.keep
	if a.race.config.Stream {
		sink = a.handOver
	}
	if err := x.run(ctx, sink); err != nil {
		return err
	}
	if a.race.config.Stream && !a.race.claim(a) { // complete, and perhaps empty
		return errOvertaken
	}
	return nil
}

// keep spools one message.
func (a *attempt) keep(message []byte, _ *Client) error {
	if err := a.spool.add(message); err != nil {
		return &sinkError{err}
	}
	return nil
}

// handOver gives a client to the caller as it comes. From the first one on no other attempt may.
func (a *attempt) handOver(_ []byte, client *Client) error {
	if !a.race.claim(a) {
		return errOvertaken
	}
	if err := a.race.each(client); err != nil {
		return &sinkError{err}
	}
	return nil
}

// replay hands over a complete answer.
func (a *attempt) replay() error {
	r, err := a.spool.reader()
	if err != nil {
		return err
	}
	frames := dhcpv6.NewReader(r, make([]byte, readBuffer))
	client := Client{tolerant: a.race.config.Tolerant}
	for {
		frame, err := frames.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read spool: %w", err)
		}
		m, err := dhcpv6.ParseMessage(frame)
		if err != nil {
			return fmt.Errorf("read spool: %w", err)
		}
		if _, err := client.parseMessage(m); err != nil {
			return fmt.Errorf("read spool: %w", err)
		}
		if err := a.race.each(&client); err != nil {
			return err
		}
	}
}
