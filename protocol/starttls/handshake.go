package starttls

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
)

// How a handshake ended, as metrics and logs name it.
const (
	HandshakeOK          = "ok"
	HandshakeTimeout     = "timeout"     // not complete in time, or the connection was to end meanwhile
	HandshakeCertificate = "certificate" // the requestor's does not lead to an authority, has expired, or is not for clients
	HandshakeStranger    = "stranger"    // no name in it, and no source address, is in the policy
	HandshakeInjected    = "injected"    // octets had come before STARTTLS was answered
	HandshakeFailed      = "failed"      // anything else, such as no certificate, an old version, or what is no handshake at all
)

// ErrStranger is for verify: the names in a certificate are nobody's.
var ErrStranger = errors.New("the certificate names nobody that the policy knows")

// HandshakeError says that a handshake came to nothing.
type HandshakeError struct {
	Result string // one of the Handshake constants
	Err    error  // what is behind it
}

// Error is what came to nothing, and why.
func (e *HandshakeError) Error() string { return fmt.Sprintf("TLS handshake: %v", e.Err) }

// Unwrap is what is behind it.
func (e *HandshakeError) Unwrap() error { return e.Err }

// Handshake makes the server's side of a handshake on socket, whose deadlines the caller has set. verify gets the names in the requestor's
// verified certificate (Names); its error, which may wrap ErrStranger, breaks the handshake off. The error is a *HandshakeError; the
// requestor has been sent an alert then, and nothing further may be sent.
func (c *Credentials) Handshake(socket net.Conn, verify func(names []string) error) (*Conn, error) {
	conn := &Conn{socket: socket, buffers: &c.buffers, direct: true}
	conn.tls = tls.Server(wire{conn}, c.config(verify))
	if err := conn.tls.Handshake(); err != nil {
		e := &HandshakeError{Result: handshakeResult(err), Err: err}
		c.Count(e.Result)
		return nil, e
	}
	conn.mu.Lock()
	conn.direct = false
	conn.mu.Unlock()
	c.Count(HandshakeOK)
	return conn, nil
}

// Count counts how a handshake ended that was not begun, by one of the Handshake constants.
func (c *Credentials) Count(result string) { c.metrics.handshakes.WithLabelValues(result).Inc() }

func handshakeResult(err error) string {
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return HandshakeTimeout
	case errors.Is(err, ErrStranger):
		return HandshakeStranger
	case certificate || errors.Is(err, errWeakKey):
		return HandshakeCertificate
	}
	return HandshakeFailed
}
