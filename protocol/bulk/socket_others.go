//go:build !linux

package bulk

import (
	"net"
	"time"
)

// tuneSystem does nothing: the options are Linux's.
func tuneSystem(*net.TCPConn, time.Duration, int) error { return nil }
