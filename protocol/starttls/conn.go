package starttls

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
)

// What bounds a Conn.
const (
	// sealAtOnce is how many octets are sealed before they are handed to the kernel: two records.
	sealAtOnce = 32 << 10
	// sealedBuffer holds them sealed, and what the reading side has to say besides: answers to key updates, alerts.
	sealedBuffer = sealAtOnce + 4<<10
	// maxHandshake is how many octets a requestor's side of the handshake may have. crypto/tls would keep a certificate of 256 KiB.
	maxHandshake = 32 << 10
)

var (
	// ErrTruncated says that the peer closed the TCP connection without close_notify: whether it meant to, nobody can say
	// (RFC 8446 6.1).
	ErrTruncated = errors.New("TLS connection closed without close_notify")
	// ErrProtocol says that what came was not what TLS wants, or that the peer says so of what it got.
	ErrProtocol = errors.New("TLS broken")

	errOverflow    = errors.New("the requestor makes this side say more than it takes")
	errLongHello   = errors.New("the handshake is too long")
	errNoHalfClose = errors.New("the socket has no sending half to close")
)

// Conn is a server's TLS connection over a socket whose deadlines the caller sets, whenever it likes: a Write that a deadline cut short
// is gone on with by the next. A *tls.Conn cannot be written to again after that, so this one never sees a deadline: it writes into a
// bounded buffer, and Write hands that to the socket. One goroutine may read and another write.
type Conn struct {
	socket  net.Conn
	tls     *tls.Conn
	buffers *sync.Pool

	waiting   int  // octets given to Write that are sealed and not all with the kernel; the writer's
	truncated bool // the socket ended; the reader's
	failed    bool // reading the socket failed; the reader's
	received  int  // octets of the handshake; the reader's

	mu      sync.Mutex // crypto/tls writes from both sides: the reading one answers key updates
	direct  bool       // during the handshake nothing is kept back
	sealed  *[]byte    // what is not with the kernel, and before it what is; from buffers, nil when there is nothing
	flushed int        // of sealed, with the kernel
}

// State is what the handshake came to.
func (c *Conn) State() tls.ConnectionState { return c.tls.ConnectionState() }

// Read reads what the requestor says. io.EOF is its close_notify; the end of the socket without one is ErrTruncated, what is not TLS
// wraps ErrProtocol, and other errors are the socket's. A deadline that passes does no harm.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.tls.Read(p)
	switch {
	case err == nil || c.failed || errors.Is(err, os.ErrDeadlineExceeded):
		return n, err
	case c.truncated:
		return n, ErrTruncated
	case errors.Is(err, io.EOF):
		return n, io.EOF
	}
	return n, fmt.Errorf("%w: %w", ErrProtocol, err)
}

// Write seals the beginning of p and hands it to the kernel; n is how many octets of p are there whole, at most sealAtOnce. When the
// socket's deadline cuts it short nothing is lost: the next call must be given the same p from n on, perhaps longer, and goes on.
func (c *Conn) Write(p []byte) (n int, err error) {
	if c.waiting == 0 {
		if err := c.flush(); err != nil {
			return 0, err
		}
		if c.waiting, err = c.tls.Write(p[:min(len(p), sealAtOnce)]); err != nil {
			return 0, fmt.Errorf("seal: %w", err)
		}
	}
	if err := c.flush(); err != nil {
		return 0, err
	}
	n, c.waiting = c.waiting, 0
	return n, nil
}

// CloseWrite sends close_notify, behind what is sealed, and closes the socket's sending half. Nobody may write any more. Where an alert
// has been made already, that is the last that the requestor gets.
func (c *Conn) CloseWrite() error {
	notified := c.tls.CloseWrite()
	if err := c.flush(); err != nil {
		return err
	}
	half, ok := c.socket.(interface{ CloseWrite() error })
	switch {
	case !ok:
		return errNoHalfClose
	case notified != nil:
		return errors.Join(fmt.Errorf("close_notify: %w", notified), half.CloseWrite())
	}
	return half.CloseWrite()
}

// flush hands what is sealed to the kernel.
func (c *Conn) flush() error {
	for {
		p := c.unflushed()
		if len(p) == 0 {
			return nil
		}
		n, err := c.socket.Write(p) // without mu: what comes meanwhile stands behind p
		c.mu.Lock()
		c.flushed += n
		c.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// unflushed is what the kernel has not got. When there is nothing the buffer is given back.
func (c *Conn) unflushed() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sealed == nil {
		return nil
	}
	if p := (*c.sealed)[c.flushed:]; len(p) > 0 {
		return p
	}
	*c.sealed = (*c.sealed)[:0]
	c.buffers.Put(c.sealed)
	c.sealed, c.flushed = nil, 0
	return nil
}

// keep is what crypto/tls writes: it goes behind what is not with the kernel yet.
func (c *Conn) keep(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sealed == nil {
		var ok bool
		if c.sealed, ok = c.buffers.Get().(*[]byte); !ok {
			b := make([]byte, 0, sealedBuffer)
			c.sealed = &b
		}
	}
	if len(*c.sealed)+len(p) > cap(*c.sealed) {
		return 0, errOverflow
	}
	*c.sealed = append(*c.sealed, p...)
	return len(p), nil
}

// isDirect tells whether the handshake is going on.
func (c *Conn) isDirect() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.direct
}
