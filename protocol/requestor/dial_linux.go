package requestor

import (
	"context"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// control sets a socket's options before it connects: the receive buffer decides which window is offered.
func control(config Config) func(context.Context, string, string, syscall.RawConn) error {
	return func(_ context.Context, _, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			ms := int(max(config.UserTimeout.Milliseconds(), 1))
			if err := unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, ms); err != nil {
				failed = fmt.Errorf("set TCP_USER_TIMEOUT: %w", err)
				return
			}
			if config.ReceiveBuffer <= 0 {
				return
			}
			if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, config.ReceiveBuffer); err != nil {
				failed = fmt.Errorf("set SO_RCVBUF: %w", err)
			}
		})
		if err != nil {
			return fmt.Errorf("reach the socket: %w", err)
		}
		return failed
	}
}
