package dnsmasq

import (
	"errors"
	"fmt"
)

// What can be wrong with a line or an event.
var (
	ErrFields  = errors.New("wrong number of fields")
	ErrNumber  = errors.New("not a number in range")
	ErrAddress = errors.New("not a global unicast IPv6 address")
	ErrDUID    = errors.New("not a DUID")
	ErrLength  = errors.New("a time from before 2001: this dnsmasq writes how long leases are, not when they end")
	ErrTorn    = errors.New("last line is not complete")
	ErrNoDUID  = errors.New("no DUID of the server: the file is not written wholly, or this dnsmasq does no DHCPv6")
	ErrLarge   = errors.New("too large")
)

// LineError tells what is wrong with a line of the lease file.
type LineError struct {
	File string
	Line int // from 1
	Err  error

	text string // the line, or its beginning
}

// Error is the place, then what is wrong.
func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }

// Unwrap is what is wrong, without the place.
func (e *LineError) Unwrap() error { return e.Err }
