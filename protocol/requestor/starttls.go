package requestor

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/starttls"
)

// Errors of TLS.
var (
	// ErrTLSRefused says that the server does not speak TLS: it answered STARTTLS with a status, which a *StatusError then tells, closed
	// the connection or said nothing (RFC 7653 8.2).
	ErrTLSRefused = errors.New("server refuses TLS")
	// ErrTLS says that no TLS connection came of the handshake: one side does not accept the other's certificate, or they have no
	// version or suite in common. With TLS 1.3 a server's refusal comes with the first answer only.
	ErrTLS = errors.New("no TLS connection")
)

// maxReply is the longest REPLY to STARTTLS that is read, in octets: it has two identities and a status.
const maxReply = 1 << 10

// StartTLS makes TLS of a connection on which nothing has been said (RFC 7653 8.2). The server's certificate must bear the host of server,
// which is host:port. Errors wrap ErrTLSRefused, ErrTLS or ErrProtocol, or are the context's; the socket is closed then. Dial does all of
// this by itself.
func StartTLS(ctx context.Context, socket net.Conn, server string, client *starttls.Client) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, starttls.DefaultHandshakeTimeout)
	defer cancel()
	secured, err := upgrade(ctx, socket, server, client)
	if err == nil {
		return secured, nil
	}
	// What went wrong is told; that the socket closes tells nothing more.
	_ = socket.Close()
	if why := context.Cause(ctx); why != nil && !errors.Is(why, context.DeadlineExceeded) {
		err = why
	}
	return nil, fmt.Errorf("STARTTLS with %s: %w", server, err)
}

func upgrade(ctx context.Context, socket net.Conn, server string, client *starttls.Client) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() {
		// A socket that is closed refuses the deadline, and every use of it fails anyway.
		_ = socket.SetDeadline(time.Unix(1, 0))
	})
	defer stop()
	if err := askForTLS(socket); err != nil {
		return nil, err
	}
	// The server speaks second in a handshake: what is here already is not its.
	if starttls.Pending(socket) {
		return nil, fmt.Errorf("%w: %w", ErrTLS, starttls.ErrInjected)
	}
	secured, err := client.Handshake(ctx, socket, server)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTLS, err)
	}
	return secured, nil
}

// askForTLS sends STARTTLS and reads the REPLY, and not an octet more: the rest belongs to the handshake.
func askForTLS(socket net.Conn) error {
	m := dhcpv6.Message{Type: dhcpv6.MessageStartTLS} // without options (RFC 7653 6.2.2)
	rand.Read(m.TransactionID[:])                     // never fails
	frame, err := dhcpv6.AppendFrame(nil, m)
	if err != nil {
		return err
	}
	if _, err := socket.Write(frame); err != nil {
		return fmt.Errorf("%w: %w", ErrTLSRefused, err)
	}
	var reply [2 + maxReply]byte
	n := 2
	for done := 0; done < n; { // never read ahead
		if _, err := io.ReadFull(socket, reply[done:n]); err != nil {
			return fmt.Errorf("%w: no answer to STARTTLS: %w", ErrTLSRefused, err)
		}
		if done, n = n, 2+int(binary.BigEndian.Uint16(reply[:])); n > len(reply) {
			return fmt.Errorf("%w: an answer of %d octets to STARTTLS", ErrProtocol, n-2)
		}
	}
	return checkReply(reply[2:n], m.TransactionID)
}

// checkReply tells whether the server lets the handshake begin.
func checkReply(frame []byte, id dhcpv6.TransactionID) error {
	m, err := dhcpv6.ParseMessage(frame)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	case m.Type != dhcpv6.MessageReply:
		return fmt.Errorf("%w: %v in answer to STARTTLS", ErrProtocol, m.Type)
	case m.TransactionID != id:
		return fmt.Errorf("%w: %v with transaction-id %x, asked was %x", ErrProtocol, m.Type, m.TransactionID, id)
	}
	err = errorStatus(m)
	if _, refused := errors.AsType[*StatusError](err); refused {
		return fmt.Errorf("%w: %w", ErrTLSRefused, err)
	}
	return err
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// refusedByAlert tells whether err is the other side's alert. crypto/tls has no type for it.
func refusedByAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}
