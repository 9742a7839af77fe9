package starttls

import (
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// wire is the connection that crypto/tls sees. Its deadlines are nobody's: those of the socket are the caller's.
type wire struct{ *Conn }

// Read reads from the socket.
func (w wire) Read(p []byte) (int, error) {
	n, err := w.socket.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		w.truncated = true // after close_notify crypto/tls does not read on
	case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
		w.failed = true
	}
	if w.received <= maxHandshake { // one goroutine reads, and the handshake comes before
		w.received += n
		if w.received > maxHandshake && w.isDirect() {
			return 0, errLongHello
		}
	}
	return n, err
}

// Write sends at once during the handshake and keeps afterwards.
func (w wire) Write(p []byte) (int, error) {
	if w.isDirect() {
		return w.socket.Write(p)
	}
	return w.keep(p)
}

func (w wire) Close() error                     { return w.socket.Close() }
func (w wire) LocalAddr() net.Addr              { return w.socket.LocalAddr() }
func (w wire) RemoteAddr() net.Addr             { return w.socket.RemoteAddr() }
func (w wire) SetDeadline(time.Time) error      { return nil }
func (w wire) SetReadDeadline(time.Time) error  { return nil }
func (w wire) SetWriteDeadline(time.Time) error { return nil }
