//go:build !linux

package bulk

import (
	"net"
	"time"
)

// tuneSystem does nothing: the option is Linux's.
func tuneSystem(*net.TCPConn, int) error { return nil }

// unanswered is known on Linux only; elsewhere DataTimeout and TCP itself bound what a vanished peer costs.
func unanswered(*net.TCPConn, time.Duration) bool { return false }
