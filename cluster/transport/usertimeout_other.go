//go:build !linux

package transport

import "time"

// setUserTimeout does nothing: only Linux has TCP_USER_TIMEOUT; keepalive does what it can.
func setUserTimeout(uintptr, time.Duration) error { return nil }
