package bulk

import (
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// tuneSystem sets the options that Linux has: TCP_USER_TIMEOUT bounds how long sent octets may stay unacknowledged, and
// TCP_NOTSENT_LOWAT how many unsent ones wait in the kernel.
func tuneSystem(tc *net.TCPConn, userTimeout time.Duration, unsent int) error {
	raw, err := tc.SyscallConn()
	if err != nil {
		return fmt.Errorf("reach the socket: %w", err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		ms := int(max(userTimeout.Milliseconds(), 1))
		if err := unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, ms); err != nil {
			failed = fmt.Errorf("set TCP_USER_TIMEOUT: %w", err)
			return
		}
		if err := unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent); err != nil {
			failed = fmt.Errorf("set TCP_NOTSENT_LOWAT: %w", err)
		}
	})
	if err != nil {
		return fmt.Errorf("reach the socket: %w", err)
	}
	return failed
}
