package requestor

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// exchange is one query and its answer (RFC 5460 6.3): LEASEQUERY-REPLY, then LEASEQUERY-DATA for each further client, then
// LEASEQUERY-DONE; only the LEASEQUERY-REPLY when there is no client.
type exchange struct {
	conn    *Conn
	id      dhcpv6.TransactionID
	replied bool
	base    baseTime // of the LEASEQUERY-REPLY
}

// run reads the answer to its end. each gets every message that holds a client, and the client.
func (x *exchange) run(ctx context.Context, each func(message []byte, client *Client) error) error {
	c := x.conn
	stop := c.interruptible(ctx)
	defer stop()
	for {
		frame, err := c.frames.Next()
		if err != nil {
			return c.broke(ctx, err)
		}
		m, err := dhcpv6.ParseMessage(frame)
		if err != nil {
			return c.broke(ctx, fmt.Errorf("%w: %w", ErrProtocol, err))
		}
		done, err := x.check(m)
		if err != nil {
			return err
		}
		if done {
			return nil
		}
		found, err := c.client.parseMessage(m)
		switch {
		case err != nil:
			return c.broke(ctx, fmt.Errorf("%w: %w", ErrProtocol, err))
		case !found && m.Type == dhcpv6.MessageLeasequeryReply:
			return nil
		case !found:
			continue // LEASEQUERY-DATA without client data is discarded (RFC 5460 6.3)
		}
		if err := each(frame, &c.client); err != nil {
			c.broken = true
			return err
		}
	}
}

// check is the order that messages come in and what they must hold; done is true behind LEASEQUERY-DONE.
func (x *exchange) check(m dhcpv6.Message) (done bool, err error) {
	bad := func(format string, args ...any) error {
		x.conn.broken = true
		return fmt.Errorf("query to %s: %w: %s", x.conn.server, ErrProtocol, fmt.Sprintf(format, args...))
	}
	if m.TransactionID != x.id {
		return false, bad("%v with transaction-id %x, asked was %x", m.Type, m.TransactionID, x.id)
	}
	switch {
	case m.Type == dhcpv6.MessageLeasequeryReply && !x.replied:
		x.replied = true
		if err := x.base.parse(m); err != nil {
			return false, bad("%v", err)
		}
		// RFC 5007 4.3.2: a reply without these, or for another requestor, is not one.
		if id, _ := m.Options.First(dhcpv6.OptionClientID); !bytes.Equal(id, x.conn.config.ClientID) {
			return false, bad("%v without the requestor's client-id", m.Type)
		}
		id, _ := m.Options.First(dhcpv6.OptionServerID)
		if len(id) == 0 {
			return false, bad("%v without server-id", m.Type)
		}
		if err := x.conn.config.Server(id); err != nil {
			x.conn.broken = true
			return false, fmt.Errorf("query to %s: %w", x.conn.server, err)
		}
		return false, x.status(m)
	case m.Type == dhcpv6.MessageLeasequeryData && x.replied:
		return false, nil
	case m.Type == dhcpv6.MessageLeasequeryDone && x.replied:
		return true, x.status(m)
	}
	return false, bad("%v out of order", m.Type)
}

// status is the message's error status, if it has one.
func (x *exchange) status(m dhcpv6.Message) error {
	err := errorStatus(m)
	if errors.Is(err, ErrProtocol) {
		x.conn.broken = true
		return fmt.Errorf("query to %s: %w", x.conn.server, err)
	}
	return err
}

// errorStatus is a message's error status, if it has one: a *StatusError, Partial in LEASEQUERY-DONE, or ErrProtocol where it is none.
func errorStatus(m dhcpv6.Message) error {
	value, ok := m.Options.First(dhcpv6.OptionStatusCode)
	if !ok {
		return nil
	}
	s, err := dhcpv6.ParseStatusCode(value)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if s.Status == dhcpv6.StatusSuccess {
		return nil
	}
	return &StatusError{Status: s.Status, Text: s.Text, Partial: m.Type == dhcpv6.MessageLeasequeryDone}
}
