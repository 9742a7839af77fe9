package iscdhcp

import (
	"errors"
	"fmt"
)

// What can be wrong with a record; a RecordError wraps one of these.
var (
	ErrTorn    = errors.New("broken off")
	ErrLong    = errors.New("too long")
	ErrString  = errors.New("broken string")
	ErrSyntax  = errors.New("not what belongs here")
	ErrNumber  = errors.New("not a number in range")
	ErrTime    = errors.New("not a time")
	ErrAddress = errors.New("not a global unicast IPv6 address or prefix")
	ErrKey     = errors.New("not an IAID and a DUID")
	ErrMissing = errors.New("missing")
	ErrRelays  = errors.New("unusable relay data")
)

// RecordError tells what is wrong with a record of the lease file or a statement of the configuration.
type RecordError struct {
	File string
	Line int  // from 1
	Kept bool // the lease is used, only without what is wrong
	Err  error
}

// Error is the place, then what is wrong.
func (e *RecordError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }

// Unwrap is what is wrong, without the place.
func (e *RecordError) Unwrap() error { return e.Err }

// lineError is a RecordError that does not know its file yet.
type lineError struct {
	line int
	kept bool
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }
func (e *lineError) Unwrap() error { return e.err }

// wrong is about a word of a record.
func wrong(t token, err error, what string) *lineError {
	const most = 64 // octets of a value worth showing
	text := t.text
	if len(text) > most {
		text = text[:most]
	}
	if what == "" {
		return &lineError{line: t.line, err: fmt.Errorf("%w: %q", err, text)}
	}
	return &lineError{line: t.line, err: fmt.Errorf("%s: %w: %q", what, err, text)}
}
