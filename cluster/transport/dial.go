package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// Dial connects to the server named by a target and sends the preamble, all within the timeout, or dialTimeout if that is
// shorter. It fails at once after HangUp.
func (l *Layer) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	id, addr := splitTarget(to)
	ctx, cancel := context.WithTimeout(l.dialing, min(timeout, dialTimeout))
	defer cancel()
	d := net.Dialer{KeepAliveConfig: keepAlive(), Control: controlUserTimeout}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	if err := l.greet(conn, id, deadline); err != nil {
		return nil, errors.Join(fmt.Errorf("send preamble to %s: %w", addr, err), conn.Close())
	}
	return l.keep(conn)
}

func (l *Layer) greet(conn net.Conn, id string, deadline time.Time) error {
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := conn.Write(appendPreamble(nil, l.cluster, id)); err != nil {
		return err
	}
	return conn.SetDeadline(time.Time{})
}

// keep takes an open connection into account.
func (l *Layer) keep(c net.Conn) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.dialing.Err(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	l.dialed[c] = struct{}{}
	return &dialed{Conn: c, layer: l}, nil
}

// HangUp ends every connection, and every attempt to open one. It is for the end of Raft, whose goroutines would wait for peers that
// do not answer, or that stand still in the middle of a snapshot.
func (l *Layer) HangUp() {
	l.hangUp()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conns := range []map[net.Conn]struct{}{l.dialed, l.open} {
		for c := range conns {
			_ = c.Close() // whoever uses it is told by the error it gets
		}
	}
}

// dialed is a connection that this node opened.
type dialed struct {
	net.Conn
	layer *Layer
}

// Close closes the connection.
func (d *dialed) Close() error {
	d.layer.mu.Lock()
	delete(d.layer.dialed, d.Conn)
	d.layer.mu.Unlock()
	return d.Conn.Close()
}
