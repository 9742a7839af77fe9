package requestor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// maxDUID is the longest DUID (RFC 8415 11.1): two octets of type, then 128.
const maxDUID = 130

// subscription is one ACTIVELEASEQUERY at one server and what is told there (RFC 7653 8.4): LEASEQUERY-REPLY, then LEASEQUERY-DATA for ever,
// or LEASEQUERY-DONE when the server ends it.
type subscription struct {
	watcher *watcher
	target  *target
	conn    *Conn
	id      dhcpv6.TransactionID
	client  Client
	cancel  context.CancelCauseFunc

	replied    bool      // LEASEQUERY-REPLY came, and accepted it
	caughtUp   bool      // there is no catch-up phase, or it is over
	upSince    time.Time // since when it is caught up
	recovering bool      // watcher.mu
	sunk       error     // the handler's, in a recovery; running
	running    sync.WaitGroup
}

// run subscribes, and reads until that ends. The error says why, and is never nil.
func (s *subscription) run(parent context.Context) (why error) {
	ctx, cancel := context.WithCancelCause(parent)
	s.cancel = cancel
	defer func() {
		s.running.Wait()
		if s.sunk != nil {
			why = s.sunk
		}
	}()
	defer cancel(nil)
	config := s.watcher.config
	config.asked = s.target.asked
	conn, err := connect(ctx, s.target.address, config, func() {})
	if err != nil {
		return err
	}
	defer func() {
		// The subscription is over; closing changes nothing.
		_ = conn.Close()
	}()
	s.conn, s.id, s.client.tolerant = conn, conn.transactionID(), config.Tolerant
	m, err := s.watcher.query.message(s.id, config.ClientID, s.start())
	if err != nil {
		return err
	}
	if err := conn.send(ctx, m); err != nil {
		return err
	}
	return s.receive(ctx)
}

// receive reads messages until the subscription ends.
func (s *subscription) receive(ctx context.Context) error {
	stop := s.conn.interruptible(ctx)
	defer stop()
	for {
		s.conn.until = time.Now().Add(s.watcher.config.Silence)
		frame, err := s.conn.frames.Next()
		if err != nil {
			return s.broke(ctx, err)
		}
		if err := s.take(ctx, frame); err != nil {
			return s.broke(ctx, err)
		}
	}
}

// start is OPTION_LQ_START_TIME, or nil. What is missing altogether needs none.
func (s *subscription) start() *uint32 {
	if from := s.watcher.from; from.known {
		return &from.seconds
	}
	return nil
}

// broke says what has ended the subscription.
func (s *subscription) broke(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	server := s.target.name
	switch {
	case refusedByAlert(err):
		return fmt.Errorf("subscription at %s: %w: %w", server, ErrTLS, err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("subscription at %s: %w for %v (ACTIVE_LQ_RCV_TIMEOUT)", server, ErrStalled, s.watcher.config.Silence)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("subscription at %s: %w: the server closed the connection", server, ErrIncomplete)
	case errors.Is(err, dhcpv6.ErrShortFrame):
		return fmt.Errorf("subscription at %s: %w: %w", server, ErrProtocol, err)
	}
	return fmt.Errorf("subscription at %s: %w", server, err)
}

// take deals with one message.
func (s *subscription) take(ctx context.Context, frame []byte) error {
	m, err := dhcpv6.ParseMessage(frame)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	n, err := s.read(m)
	if err != nil {
		return err
	}
	w := s.watcher
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() != nil { // while it waited
		return context.Cause(ctx)
	}
	switch m.Type {
	case dhcpv6.MessageLeasequeryReply:
		return s.reply(ctx, n)
	case dhcpv6.MessageLeasequeryData:
		return s.data(ctx, n)
	}
	return &StatusError{Status: n.status.Status, Text: n.status.Text, Partial: true}
}

// news is what a message says.
type news struct {
	status dhcpv6.StatusCode
	base   baseTime
	client *Client // or nil
}

// read checks a message's place, and reads it.
func (s *subscription) read(m dhcpv6.Message) (n news, err error) {
	bad := func(format string, args ...any) (news, error) {
		return n, fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, args...))
	}
	if m.TransactionID != s.id {
		return bad("%v with transaction-id %x, asked was %x", m.Type, m.TransactionID, s.id)
	}
	switch reply := m.Type == dhcpv6.MessageLeasequeryReply; {
	case !reply && m.Type != dhcpv6.MessageLeasequeryData && m.Type != dhcpv6.MessageLeasequeryDone, reply == s.replied:
		return bad("%v out of order", m.Type)
	case reply:
		// RFC 5007 4.3.2: a reply without these, or for another requestor, is not one.
		if id, _ := m.Options.First(dhcpv6.OptionClientID); !bytes.Equal(id, s.conn.config.ClientID) {
			return bad("%v without the requestor's client-id", m.Type)
		}
		id, _ := m.Options.First(dhcpv6.OptionServerID)
		if len(id) == 0 {
			return bad("%v without server-id", m.Type)
		}
		if err := s.conn.config.Server(id); err != nil {
			return n, err
		}
	}
	if value, ok := m.Options.First(dhcpv6.OptionStatusCode); ok {
		if n.status, err = dhcpv6.ParseStatusCode(value); err != nil {
			return bad("%v", err)
		}
	}
	if err := n.base.parse(m); err != nil {
		return bad("%v", err)
	}
	found, err := s.client.parseMessage(m)
	switch {
	case err != nil:
		return bad("%v", err)
	case found && len(s.client.DUID) > maxDUID:
		return bad("a client with a DUID of %d octets", len(s.client.DUID))
	case found:
		n.client = &s.client
	}
	return n, nil
}

// reply is the LEASEQUERY-REPLY.
func (s *subscription) reply(ctx context.Context, n news) error {
	w := s.watcher
	missing := n.status.Status == dhcpv6.StatusDataMissing
	if n.status.Status != dhcpv6.StatusSuccess && !missing {
		return &StatusError{Status: n.status.Status, Text: n.status.Text}
	}
	if !n.base.known {
		return fmt.Errorf("%w: LEASEQUERY-REPLY without base time (RFC 7653 9.3)", ErrProtocol)
	}
	s.replied = true
	w.accepted()
	begun := !w.from.known && !missing
	if begun && n.client == nil { // nothing is untold
		s.up(n)
	}
	if err := w.tell(s.event(EventSubscribed, n)); err != nil {
		return err
	}
	switch {
	case missing:
		if err := s.miss(ctx, n); err != nil {
			return err
		}
	case begun:
		s.up(n)
		if w.full {
			w.miss(n.base.seconds)
			s.recover(ctx)
		}
	}
	w.full = false
	return s.change(n)
}

// data is a LEASEQUERY-DATA.
func (s *subscription) data(ctx context.Context, n news) error {
	if !n.base.known {
		return fmt.Errorf("%w: LEASEQUERY-DATA without base time (RFC 7653 9.3)", ErrProtocol)
	}
	w := s.watcher
	switch n.status.Status {
	case dhcpv6.StatusSuccess:
	case dhcpv6.StatusDataMissing:
		if err := s.miss(ctx, n); err != nil {
			return err
		}
		return s.change(n)
	case dhcpv6.StatusCatchUpComplete:
		if s.caughtUp {
			return fmt.Errorf("%w: CatchUpComplete without a catch-up phase", ErrProtocol)
		}
		if err := s.change(n); err != nil {
			return err
		}
		s.up(n)
		if w.missing { // of an earlier subscription; the end of the recovery tells
			s.recover(ctx)
			return nil
		}
		return w.tell(s.event(EventCatchUpComplete, n))
	default:
		return fmt.Errorf("%w: LEASEQUERY-DATA with status %v", ErrProtocol, n.status.Status)
	}
	if s.caughtUp { // before, messages are in no order (RFC 7653 8.4)
		w.advance(n.base.seconds)
	}
	if n.client == nil {
		return w.tell(s.event(EventIdle, n))
	}
	return s.change(n)
}

func (s *subscription) event(kind EventKind, n news) *Event {
	e := &Event{Kind: kind, Server: s.target.name, HasBaseTime: n.base.known, BaseTime: n.base.seconds}
	if kind == EventChange {
		e.Client = n.client
	}
	return e
}

// up notes that the catch-up phase is over, or that there is none.
func (s *subscription) up(n news) {
	s.caughtUp, s.upSince = true, time.Now()
	s.watcher.advance(n.base.seconds)
}

// miss notes that the server cannot tell all that has changed, which ends the catch-up phase (RFC 7653 8.4.1).
func (s *subscription) miss(ctx context.Context, n news) error {
	w := s.watcher
	w.miss(n.base.seconds)
	s.up(n)
	s.recover(ctx)
	return w.tell(s.event(EventDataMissing, n))
}

// change tells of the message's client, if it has one.
func (s *subscription) change(n news) error {
	if n.client == nil {
		return nil
	}
	return s.watcher.tell(s.event(EventChange, n))
}

// recover begins to recover missing data, beside the subscription. A recovery that runs notices by itself that more is missing.
func (s *subscription) recover(ctx context.Context) {
	if s.recovering {
		return
	}
	s.recovering = true
	s.running.Go(func() { s.recoverAll(ctx) })
}
