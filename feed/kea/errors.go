package kea

import (
	"errors"
	"fmt"
)

// What can be wrong with a line; a LineError wraps one of these, or the error of whoever read the field.
var (
	ErrColumns  = errors.New("wrong number of columns")
	ErrTooLong  = errors.New("line too long")
	ErrNumber   = errors.New("not a number in range")
	ErrAddress  = errors.New("not a global unicast IPv6 address")
	ErrHostBits = errors.New("prefix with bits behind its length")
	ErrDUID     = errors.New("not a DUID")
	ErrEscape   = errors.New("broken escape")
	ErrRelays   = errors.New("unusable relay data")
	ErrHeader   = errors.New("not the header of a Kea DHCPv6 lease file")
	ErrTorn     = errors.New("last line is not complete")
)

// LineError tells what is wrong with a line of a lease file.
type LineError struct {
	File  string
	Line  int    // from 1, the header included
	Field string // name of the column; empty when it is the line as a whole
	Kept  bool   // the lease is used, only without this field
	Err   error
}

// Error is the place, then what is wrong.
func (e *LineError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
	}
	return fmt.Sprintf("%s:%d: field %s: %v", e.File, e.Line, e.Field, e.Err)
}

// Unwrap is what is wrong, without the place.
func (e *LineError) Unwrap() error { return e.Err }

// fieldError is a LineError that does not know its place yet. The field is empty when it is the record as a whole.
type fieldError struct {
	field string
	err   error
}

func (e *fieldError) Error() string {
	if e.field == "" {
		return e.err.Error()
	}
	return "field " + e.field + ": " + e.err.Error()
}

func (e *fieldError) Unwrap() error { return e.err }

func wrong(field string, err error, value []byte) error {
	const most = 64 // octets of a value worth showing
	if len(value) > most {
		return &fieldError{field, fmt.Errorf("%w: %q…", err, value[:most])}
	}
	return &fieldError{field, fmt.Errorf("%w: %q", err, value)}
}
