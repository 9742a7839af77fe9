package transport

import (
	"fmt"
	"net"
	"syscall"
	"time"
)

// userTimeout is how long sent octets may stay unacknowledged before the connection is given up.
const userTimeout = 20 * time.Second

// keepAlive finds out within 20 s that a peer's host has vanished while it was to send: Raft reads a snapshot without a
// deadline, on the goroutine that votes.
func keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3}
}

// tune sets keepalive and the user timeout of an accepted TCP connection; others are left alone.
func tune(c net.Conn) error {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	if err := t.SetKeepAliveConfig(keepAlive()); err != nil {
		return fmt.Errorf("set keepalive: %w", err)
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return fmt.Errorf("reach socket: %w", err)
	}
	return controlUserTimeout("tcp", "", raw)
}

func controlUserTimeout(_, _ string, raw syscall.RawConn) error {
	var set error
	if err := raw.Control(func(fd uintptr) { set = setUserTimeout(fd, userTimeout) }); err != nil {
		return fmt.Errorf("reach socket: %w", err)
	}
	if set != nil {
		return fmt.Errorf("set TCP_USER_TIMEOUT: %w", set)
	}
	return nil
}
