package bulk

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/starttls"
)

// Why a connection ended because of TLS, beside the reasons of conn.
const (
	endInsecure  reason = "insecure"  // its first message was not STARTTLS and had to be
	endStartTLS  reason = "starttls"  // STARTTLS later than first, twice, or with octets behind it
	endHandshake reason = "handshake" // no TLS came of it in time
	endTruncated reason = "truncated" // the TCP connection ended without close_notify
	endTLS       reason = "tls"       // what came was not TLS
)

// layer is what a connection speaks through: its socket, or TLS over it. Deadlines are always the socket's.
type layer struct {
	in     io.Reader
	out    io.Writer      // takes a beginning of what it is given, and goes on where a deadline cut it short
	tls    *starttls.Conn // nil in clear
	spoken bool           // whether a message has come; the receiver's
	until  time.Time      // when TLS must be there; zero when it need not; guarded by conn.mu
}

// secure tells whether the connection is inside TLS, so that its requestor has shown a certificate.
func (c *conn) secure() bool { return c.layer.tls != nil }

// closeWrite tells the peer that nothing more will come: with TLS by close_notify.
func (c *conn) closeWrite() error {
	if !c.secure() {
		half, ok := c.socket.(interface{ CloseWrite() error })
		if !ok {
			return errors.ErrUnsupported
		}
		return half.CloseWrite()
	}
	if err := c.socket.SetWriteDeadline(time.Now().Add(lingerTimeout)); err != nil {
		return err
	}
	return c.layer.tls.CloseWrite()
}

// gate is what TLS makes of a message before anybody looks into it (RFC 7653 9.1); framed is false when its options are broken. handled
// means that it goes no further. STARTTLS is for the first message alone. From a stranger nothing else is taken, nor from anybody
// where TLS is required.
func (c *conn) gate(m dhcpv6.Message, framed bool) (handled bool, err error) {
	mode := c.server.config.TLS.Mode
	if mode == starttls.Off {
		return false, nil // STARTTLS is refused like a message, whenever it comes
	}
	first := !c.layer.spoken
	c.layer.spoken = true
	asks := framed && m.Type == dhcpv6.MessageStartTLS
	switch {
	case asks && first:
		return true, c.startTLS(m)
	case asks:
		c.end(endStartTLS, "STARTTLS must be the first message")
		return true, errStop
	case first && (mode == starttls.Required || c.entry == nil):
		c.end(endInsecure, "the first message must be STARTTLS")
		return true, errStop
	}
	return false, nil
}

// startTLS answers STARTTLS by a REPLY without status and makes the handshake. Its error is always errStop.
//
// Nothing that came in clear may be taken for what is said inside TLS. So what stands behind STARTTLS in the inbox ends the connection,
// and so does what the kernel has when the REPLY is given to the sender. What comes after that is read by the handshake alone.
func (c *conn) startTLS(m dhcpv6.Message) error {
	creds := c.server.config.TLS.Credentials
	if c.inbox.partial() || starttls.Pending(c.socket) {
		creds.Count(starttls.HandshakeInjected)
		c.log.Debug("bulk leasequery connection refused", "err", starttls.ErrInjected)
		c.end(endStartTLS, "octets came behind STARTTLS")
		return errStop
	}
	c.mu.Lock()
	if until := time.Now().Add(c.server.config.TLS.HandshakeTimeout); c.layer.until.IsZero() || until.Before(c.layer.until) {
		c.layer.until = until
	}
	c.mu.Unlock()
	now := time.Now()
	q := &query{id: m.TransactionID, arrived: now, begun: now, answer: &reply{message: c.server.accepted(nil, m)}}
	if _, ok := c.enter(q); !ok {
		return errStop
	}
	c.begun = append(c.begun, q)
	c.handOver(true) // more is to come: a retiring server does not close behind this answer
	if err := c.awaitSent(); err != nil {
		return err
	}
	return c.handshake()
}

// awaitSent returns once all answers are with the kernel, or errStop when the connection is to end.
func (c *conn) awaitSent() error {
	for {
		c.mu.Lock()
		stop, sent := c.ending != "" || c.draining, len(c.queries) == 0
		c.mu.Unlock()
		switch {
		case stop:
			return errStop
		case sent:
			return nil
		}
		select {
		case <-c.room:
		case <-c.ctx.Done():
			return errStop
		}
	}
}

// handshake makes TLS of the connection, or ends it.
func (c *conn) handshake() error {
	c.mu.Lock()
	c.armRead(time.Now())
	c.armWrite(c.layer.until)
	c.mu.Unlock()
	var who identity
	t, err := c.server.config.TLS.Credentials.Handshake(c.socket, func(names []string) (err error) {
		who, err = c.identify(names)
		return err
	})
	if err != nil {
		level := slog.LevelDebug // anybody could fill the log
		if errors.Is(err, starttls.ErrStranger) {
			level = slog.LevelInfo
		}
		c.log.Log(c.ctx, level, "TLS handshake came to nothing", "names", who.names, "err", err)
		c.end(endHandshake, "the TLS handshake came to nothing")
		return errStop
	}
	if why := c.server.admission.rename(c, who); why != "" {
		c.server.metrics.refused.WithLabelValues(why).Inc()
		c.log.Debug("bulk leasequery connection refused", "names", who.names, "reason", why)
		c.layer.tls = t // it gets close_notify
		c.end(endHandshake, "there is no room for this requestor")
		return errStop
	}
	c.log = c.log.With("names", who.names)
	state := t.State()
	c.log.Debug("requestor inside TLS", "version", tls.VersionName(state.Version), "suite", tls.CipherSuiteName(state.CipherSuite), "stanza", who.entry.Name)
	c.maxQueries = orDefault(c.entry.MaxQueriesPerConnection, c.server.config.MaxQueriesPerConnection)
	now := time.Now()
	c.mu.Lock()
	c.layer = layer{in: t, out: t, tls: t, spoken: true}
	c.idleSince, c.quietSince = now, now
	c.armRead(now)
	c.mu.Unlock()
	return nil
}

// identity is who a requestor turned out to be.
type identity struct {
	key   requestorKey
	entry *leasequery.Requestor
	names []string
}

// identify finds who has these names in its verified certificate: the requestor that the policy knows by one of them, else the one that
// it knows by the source address.
func (c *conn) identify(names []string) (identity, error) {
	if entry, ok := c.server.policy.LookupNames(names); ok {
		return identity{requestorKey{names: strings.Join(names, " ")}, entry, names}, nil
	}
	if entry, ok := c.server.policy.Lookup(c.peer.Addr()); ok {
		return identity{requestorKey{addr: c.peer.Addr()}, entry, names}, nil
	}
	return identity{names: names}, starttls.ErrStranger
}
