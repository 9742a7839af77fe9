package requestor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// readBuffer holds the largest frame and what comes with it.
const readBuffer = 128 << 10

// Conn is a connection to one server. It carries one query at a time; servers that answer several side by side are the rule,
// but some lose queries that arrive together. It is not safe for concurrent use.
type Conn struct {
	server string
	config Config
	heard  func() // told whenever octets came
	socket net.Conn
	frames *dhcpv6.Reader
	next   uint32 // transaction-id of the next query
	out    []byte
	client Client
	broken bool
	until  time.Time // when the message that is awaited must be complete; zero: each read has DataTimeout
}

// Dial connects to a server ("host:port"; bulk leasequery has port 547). With Config.TLS its errors may wrap ErrTLSRefused or ErrTLS.
func Dial(ctx context.Context, server string, config Config) (*Conn, error) {
	return connect(ctx, server, config.withDefaults(), func() {})
}

// connect connects; heard is told whenever octets came.
func connect(ctx context.Context, server string, config Config, heard func()) (*Conn, error) {
	socket, err := dial(ctx, server, config)
	if err != nil {
		return nil, err
	}
	if config.TLS != nil {
		if socket, err = StartTLS(ctx, socket, orElse(config.asked, server), config.TLS); err != nil {
			return nil, err
		}
	}
	c := &Conn{server: server, config: config, heard: heard, socket: socket, client: Client{tolerant: config.Tolerant}}
	c.frames = dhcpv6.NewReader(timedReader{c}, make([]byte, readBuffer))
	var seed [4]byte
	rand.Read(seed[:]) // never fails
	c.next = uint32(seed[0])<<16 | uint32(seed[1])<<8 | uint32(seed[2])
	return c, nil
}

// Close closes the connection.
func (c *Conn) Close() error {
	c.broken = true
	if err := c.socket.Close(); err != nil {
		return fmt.Errorf("close connection to %s: %w", c.server, err)
	}
	return nil
}

// timedReader gives each read DataTimeout: a server that sends nothing for that long is given up.
type timedReader struct{ conn *Conn }

func (r timedReader) Read(p []byte) (int, error) {
	c := r.conn
	until := c.until
	if until.IsZero() {
		until = time.Now().Add(c.config.DataTimeout)
	}
	if err := c.socket.SetReadDeadline(until); err != nil {
		return 0, err
	}
	n, err := c.socket.Read(p)
	if n > 0 {
		c.heard()
	}
	return n, err
}

// Query asks q and calls each with every client of the answer as it comes; the Client is each's until it returns. It returns
// nil when the answer was complete, also when it was empty. Errors are *StatusError, or wrap ErrIncomplete, ErrStalled,
// ErrTLS, ErrProtocol, ErrQuery, ErrBroken or the context's error; but for *StatusError and ErrQuery the connection is then broken. An
// error of each ends the query and is returned.
func (c *Conn) Query(ctx context.Context, q Query, each func(*Client) error) error {
	a, err := c.ask(ctx, q)
	if err != nil {
		return err
	}
	return a.run(ctx, func(_ []byte, client *Client) error { return each(client) })
}

// ask sends the query.
func (c *Conn) ask(ctx context.Context, q Query) (*exchange, error) {
	if c.broken {
		return nil, fmt.Errorf("query to %s: %w", c.server, ErrBroken)
	}
	id := c.transactionID()
	m, err := q.message(id, c.config.ClientID)
	if err != nil {
		return nil, err
	}
	if err := c.send(ctx, m); err != nil {
		return nil, err
	}
	return &exchange{conn: c, id: id}, nil
}

// transactionID is one that no other query on the connection has.
func (c *Conn) transactionID() dhcpv6.TransactionID {
	id := dhcpv6.TransactionID{byte(c.next >> 16), byte(c.next >> 8), byte(c.next)}
	c.next++
	return id
}

// send sends a message within DataTimeout (RFC 5460 6.2, RFC 7653 8.3).
func (c *Conn) send(ctx context.Context, m dhcpv6.Message) (err error) {
	if c.out, err = dhcpv6.AppendFrame(c.out[:0], m); err != nil {
		return fmt.Errorf("%w: %w", ErrQuery, err)
	}
	stop := c.interruptible(ctx)
	defer stop()
	if err := c.socket.SetWriteDeadline(time.Now().Add(c.config.DataTimeout)); err != nil {
		return c.broke(ctx, err)
	}
	if _, err := c.socket.Write(c.out); err != nil {
		return c.broke(ctx, err)
	}
	return nil
}

// interruptible closes the socket under a blocked read or write when ctx ends.
func (c *Conn) interruptible(ctx context.Context) (stop func()) {
	f := context.AfterFunc(ctx, func() {
		// Only an error of the close itself is lost, and the context's is reported.
		_ = c.socket.Close()
	})
	return func() { f() }
}

// broke marks the connection unusable and says what happened to it.
func (c *Conn) broke(ctx context.Context, err error) error {
	c.broken = true
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("query to %s: %w", c.server, ctx.Err())
	case refusedByAlert(err):
		return fmt.Errorf("query to %s: %w: %w", c.server, ErrTLS, err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("query to %s: %w for %v (BULK_LQ_DATA_TIMEOUT)", c.server, ErrStalled, c.config.DataTimeout)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("query to %s: %w: the server closed the connection", c.server, ErrIncomplete)
	case errors.Is(err, dhcpv6.ErrShortFrame):
		return fmt.Errorf("query to %s: %w: %w", c.server, ErrProtocol, err)
	case errors.Is(err, ErrProtocol):
		return fmt.Errorf("query to %s: %w", c.server, err)
	}
	return fmt.Errorf("query to %s: %w: %w", c.server, ErrIncomplete, err)
}
