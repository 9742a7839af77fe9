package bulk

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/starttls"
)

// errStop says that the receiver is to read no more, for a reason that the connection's state holds.
var errStop = errors.New("stop receiving")

// Why a message is discarded, beside the reasons of leasequery.
const (
	discardFraming   = "option-framing"
	discardType      = "message-type"
	discardDuplicate = "transaction-id-in-use"
	discardCutShort  = "cut-short"
)

// receive reads frames and begins their queries until the requestor closes its half, the connection ends or the server
// drains. What one read brought is begun together and handed over together: queries sent at once start at once.
func (c *conn) receive() {
	defer close(c.received)
	err := c.receiveFrames()
	c.handOver(false)
	c.mu.Lock()
	c.receiving = false
	c.mu.Unlock()
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, errStop):
		if errors.Is(err, io.EOF) && c.inbox.partial() {
			c.discard(discardCutShort)
		}
		if errors.Is(err, io.EOF) && c.subscribed() {
			c.end(endUnsubscribed, "the requestor closed its half")
		}
		signal(c.wake)
	case errors.Is(err, starttls.ErrTruncated):
		c.end(endTruncated, "the TCP connection was closed without close_notify")
	case errors.Is(err, starttls.ErrProtocol):
		c.log.Debug("bulk leasequery connection broke", "err", err)
		c.end(endTLS, "what came was not TLS")
	default:
		c.log.Debug("bulk leasequery connection broke", "err", err)
		c.end(endReset, "the connection broke")
	}
}

func (c *conn) receiveFrames() error {
	for {
		if err := c.awaitRoom(); err != nil {
			return err
		}
		frame, err := c.inbox.next()
		if err != nil {
			c.end(endShortFrame, "a message of under 4 octets came")
			return errStop
		}
		if frame == nil {
			c.handOver(c.inbox.partial())
			if err := c.read(); err != nil {
				return err
			}
			continue
		}
		if err := c.handle(frame); err != nil {
			return err
		}
	}
}

// awaitRoom returns once another query may be read (RFC 5460 7.3), or errStop when none will be.
func (c *conn) awaitRoom() error {
	for waited := false; ; waited = true {
		c.mu.Lock()
		stop := c.ending != "" || c.draining
		full := len(c.queries) >= c.maxQueries
		if c.subscription != nil { // beside it there are only refusals, and reading must go on: it sees the requestor's close
			full = len(c.queries) > c.maxQueries
		}
		if waited && !full && !c.frameSince.IsZero() {
			c.frameSince = time.Now() // the server has not been reading: that time is not the requestor's
		}
		c.mu.Unlock()
		if stop {
			return errStop
		}
		if !full {
			return nil
		}
		c.handOver(true)
		select {
		case <-c.room:
		case <-c.ctx.Done():
			return errStop
		}
	}
}

// read waits for octets. A frame has DataTimeout from its first octet, a connection without a query IdleTimeout.
func (c *conn) read() error {
	space := c.inbox.space()
	for {
		c.mu.Lock()
		switch {
		case !c.inbox.partial():
			c.frameSince = time.Time{}
		case c.frameSince.IsZero():
			c.frameSince = time.Now()
		}
		c.unread = c.inbox.partial()
		c.armRead(time.Now())
		c.mu.Unlock()
		n, err := c.layer.in.Read(space)
		if n > 0 {
			c.arrived(n)
			return nil
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if err := c.overdue(); err != nil {
			return err
		}
	}
}

// arrived takes n octets into the inbox. Octets that do not complete the frame do not renew its time.
func (c *conn) arrived(n int) {
	began := !c.inbox.partial()
	c.inbox.came(n)
	if began {
		c.mu.Lock()
		c.frameSince = time.Now()
		c.unread = true
		c.mu.Unlock()
	}
}

// overdue tells whether the deadline that passed still means something: by now a query may have begun or ended.
func (c *conn) overdue() error {
	now := time.Now()
	c.mu.Lock()
	stop := c.ending != "" || c.draining
	half := !c.frameSince.IsZero() && now.Sub(c.frameSince) >= c.server.config.DataTimeout
	late := !c.layer.until.IsZero() && !now.Before(c.layer.until)
	idle := c.frameSince.IsZero() && len(c.queries) == 0 && now.Sub(c.idleSince) >= c.server.idleTimeout()
	c.mu.Unlock()
	switch {
	case stop:
		return errStop
	case late:
		c.end(endHandshake, "TLS was not there in time")
		return errStop
	case half:
		c.end(endHalfFrame, "a message was not complete in time")
		return errStop
	case idle && c.server.retiring.Load():
		c.end(endRetired, "idle, and the server is about to stop")
		return errStop
	case idle:
		c.end(endIdle, "idle")
		return errStop
	}
	return nil
}

// handle takes one message. A bad one costs only itself.
func (c *conn) handle(frame []byte) error {
	c.mu.Lock()
	c.frameSince = time.Time{}
	c.mu.Unlock()
	m, err := dhcpv6.ParseMessage(frame)
	if handled, err := c.gate(m, err == nil); handled {
		return err
	}
	if err != nil {
		c.log.Debug("message discarded", "reason", discardFraming, "err", err)
		c.discard(discardFraming)
		return nil
	}
	switch m.Type {
	case dhcpv6.MessageLeasequery:
		if c.subscribed() {
			return c.besideSubscription(m)
		}
		if err := c.pace(); err != nil {
			return err
		}
		return c.begin(m)
	case dhcpv6.MessageStartTLS:
		// RFC 7653 9.1: the connection stays as it is, in clear.
		_, err := c.refuse(m, dhcpv6.StatusTLSConnectionRefused, "TLS is not available")
		return err
	case dhcpv6.MessageActiveLeasequery:
		if err := c.pace(); err != nil {
			return err
		}
		return c.startSubscription(m)
	}
	c.discard(discardType)
	return nil
}

// handOver gives the begun queries to the sender. unread says whether more may have come.
func (c *conn) handOver(unread bool) {
	if len(c.begun) == 0 {
		return
	}
	c.mu.Lock()
	c.handed = append(c.handed, c.begun...)
	c.unread = unread
	c.mu.Unlock()
	c.begun = c.begun[:0]
	signal(c.wake)
}

// discard counts a message that gets no answer.
func (c *conn) discard(why string) { c.server.metrics.discarded.WithLabelValues(why).Inc() }

// discarded counts a message that leasequery gives no answer.
func (c *conn) discarded(err error) {
	why := "leasequery"
	if d, ok := errors.AsType[*leasequery.DiscardError](err); ok {
		why = d.Reason
	}
	c.log.Debug("message discarded", "reason", why, "err", err)
	c.discard(why)
}
