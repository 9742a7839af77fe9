package starttls

import (
	"errors"
	"net"
	"syscall"
)

// ErrInjected says that octets had come in clear before the side that read them was to begin the handshake: somebody between may have
// put them there, to be taken for what the other side says inside TLS.
var ErrInjected = errors.New("octets came before the TLS handshake was to begin")

// Pending tells whether octets have come to socket that nobody has read. A socket that cannot be looked into, such as a pipe of a test,
// has none.
func Pending(socket net.Conn) bool {
	s, ok := socket.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false // closed: whoever reads next learns it
	}
	pending := false
	err = raw.Control(func(fd uintptr) { pending = unread(fd) > 0 })
	return err == nil && pending
}
