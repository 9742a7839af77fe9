package transport

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// stallTimeout is how long the sender of a message may send nothing before it is through. Raft reads a snapshot on the
// goroutine that votes and appends, without a deadline: keepalive ends that when the sender's host has vanished, but not when
// only its process stands still.
const stallTimeout = 20 * time.Second

// ErrStalled is wrapped by the error about a peer that stopped in the middle of a message.
var ErrStalled = errors.New("peer stalled in the middle of a message")

// conn is an accepted connection. It gives its place back when it is closed, and ends when a message makes no progress. Raft's
// reader uses it: one goroutine, which reads a message, with a snapshot behind it or not, and then writes the answer.
type conn struct {
	net.Conn
	layer   *Layer
	stall   time.Duration
	message bool  // something was read and not answered yet
	stalled error // what every Read says after one has waited too long
}

// Read waits for ever for a message to begin, and for its rest while there is progress.
func (c *conn) Read(b []byte) (int, error) {
	if c.stalled != nil {
		return 0, c.stalled
	}
	var deadline time.Time
	if c.message {
		deadline = time.Now().Add(c.stall)
	}
	if err := c.Conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	c.message = c.message || n > 0
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.stalled = fmt.Errorf("%w: %s sent nothing for %v: %w", ErrStalled, c.RemoteAddr(), c.stall, err)
		err = c.stalled
	}
	return n, err
}

// Write sends an answer: the next message may take its time to begin.
func (c *conn) Write(b []byte) (int, error) {
	c.message = false
	return c.Conn.Write(b)
}

// Close closes the connection.
func (c *conn) Close() error {
	c.layer.mu.Lock()
	delete(c.layer.open, c.Conn)
	c.layer.mu.Unlock()
	return c.Conn.Close()
}
