package bulk

import (
	"fmt"
	"net"
	"time"
)

// How a peer that has vanished is noticed while nothing is on its way to it: after eight seconds. Otherwise watchPeers does.
const (
	keepAliveIdle     = 5 * time.Second
	keepAliveInterval = time.Second
	keepAliveCount    = 3
)

// tune sets up an accepted TCP connection; others are left as they are. Small answers leave at once (TCP_NODELAY), vanished
// peers are noticed (keepalive), and little unsent data waits in the kernel, where a small answer that starts later could not
// overtake it.
func tune(nc net.Conn, unsent int) error {
	tc, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	if err := tc.SetNoDelay(true); err != nil {
		return fmt.Errorf("set TCP_NODELAY: %w", err)
	}
	keepAlive := net.KeepAliveConfig{Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount}
	if err := tc.SetKeepAliveConfig(keepAlive); err != nil {
		return fmt.Errorf("set keepalive: %w", err)
	}
	return tuneSystem(tc, unsent)
}

// reset makes a close throw away what has not been sent: a peer that reads nothing would keep it in the kernel.
func reset(nc net.Conn) {
	if tc, ok := nc.(*net.TCPConn); ok {
		// A connection that is gone already refuses the option; there is nothing left to throw away then.
		_ = tc.SetLinger(0)
	}
}
