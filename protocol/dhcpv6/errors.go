package dhcpv6

import (
	"errors"
	"fmt"
)

// What can be wrong with octets that are read; each comes in a *ParseError.
var (
	ErrTruncated = errors.New("cut short")        // a header, or what it announces, is not all there
	ErrLength    = errors.New("wrong length")     // whole, but not as long as such an option is
	ErrValue     = errors.New("impossible value") // a field holds what it cannot mean
	ErrTooDeep   = errors.New("too many relays")  // more than 32 levels
)

// ErrTooLong is returned where a value, message or frame does not fit into 65,535 octets.
var ErrTooLong = errors.New("longer than 65535 octets")

// ParseError says what is wrong with octets that were read.
type ParseError struct {
	Option OptionCode // the option that it happened in; 0 for the message's own header, or where no code is left to read
	Offset int        // octets from the start of what was parsed
	Err    error      // what is wrong: ErrTruncated, ErrLength, ErrValue or ErrTooDeep
}

// Error names the option, the offset and the fault.
func (e *ParseError) Error() string {
	if e.Option == optionNone {
		return fmt.Sprintf("dhcpv6: message at offset %d: %v", e.Offset, e.Err)
	}
	return fmt.Sprintf("dhcpv6: %v at offset %d: %v", e.Option, e.Offset, e.Err)
}

// Unwrap is what is wrong.
func (e *ParseError) Unwrap() error { return e.Err }

func parseError(code OptionCode, offset int, err error) error {
	return &ParseError{Option: code, Offset: offset, Err: err}
}
