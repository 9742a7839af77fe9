package jsonlines

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// ErrLine is wrapped by every error about a line that cannot be used.
var ErrLine = errors.New("bad line")

// LineError tells which line was refused, and why.
type LineError struct {
	Line  int    // from 1
	Field string // the member that is wrong; empty when it is none, or the JSON is broken
	Err   error  // wraps ErrLine
}

// Error names the line and the member.
func (e *LineError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("line %d: %v", e.Line, e.Err)
	}
	return fmt.Sprintf("line %d: %s: %v", e.Line, e.Field, e.Err)
}

// Unwrap gives the reason.
func (e *LineError) Unwrap() error { return e.Err }

// fieldError is a LineError without its line.
type fieldError struct {
	field string
	err   error
}

func (e *fieldError) Error() string { return e.field + ": " + e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

// wrong makes a fieldError that wraps ErrLine.
func wrong(field, format string, args ...any) *fieldError {
	return &fieldError{field, fmt.Errorf("%w: "+format, append([]any{ErrLine}, args...)...)}
}

// verb is what a line does.
type verb uint8

const (
	state    verb = iota // states a change
	begin                // begins a full statement
	complete             // ends it
)

// line is what a line says.
type line struct {
	verb   verb
	change *ingestv1.Change // of state; its age is not filled in
	at     moment           // of a lease or an end
	links  bool             // of begin: whether the statement has the source's links
}

// moment is when something was: at a time on this machine's clock, or so long before the line was read.
type moment struct {
	absolute bool
	ms       int64 // milliseconds since 1970, or of age
}

// unix is the moment in milliseconds since 1970, of a line read at now.
func (m moment) unix(now int64) int64 {
	if m.absolute {
		return m.ms
	}
	return now - m.ms
}

// Names of changes, the values of the member "change".
const (
	changeLease      = "lease"
	changeEnd        = "end"
	changeLink       = "link"
	changeRemoveLink = "remove-link"
	changeBegin      = "begin"
	changeComplete   = "complete"
)

// parse reads a line. The error is a *fieldError that wraps ErrLine.
func parse(octets []byte) (line, error) {
	var head struct {
		Change *string `json:"change"`
	}
	if err := decode(octets, &head, false); err != nil {
		return line{}, err
	}
	what := changeLease
	if head.Change != nil {
		what = *head.Change
	}
	switch what {
	case changeLease:
		return parseLease(octets)
	case changeEnd:
		return parseEnd(octets)
	case changeLink:
		return parseLink(octets)
	case changeRemoveLink:
		return parseRemoveLink(octets)
	case changeBegin:
		var o beginObject
		err := decode(octets, &o, true)
		return line{verb: begin, links: o.Links}, err
	case changeComplete:
		var o completeObject
		err := decode(octets, &o, true)
		return line{verb: complete}, err
	}
	return line{}, wrong("change", "%.40q: want %s, %s, %s, %s, %s or %s", what,
		changeLease, changeEnd, changeLink, changeRemoveLink, changeBegin, changeComplete)
}

// beginObject begins a full statement.
type beginObject struct {
	Change string `json:"change"`
	Links  bool   `json:"links"`
}

// completeObject ends it.
type completeObject struct {
	Change string `json:"change"`
}

// decode reads one JSON object, and nothing behind it. When strict, a member that into does not have is an error.
func decode(octets []byte, into any, strict bool) error {
	d := json.NewDecoder(bytes.NewReader(octets))
	if strict {
		d.DisallowUnknownFields()
	}
	if first := bytes.TrimLeft(octets, " \t\r\n"); len(first) == 0 || first[0] != '{' {
		return wrong("", "not a JSON object")
	}
	if err := d.Decode(into); err != nil {
		return jsonError(err)
	}
	if rest := bytes.TrimSpace(octets[d.InputOffset():]); len(rest) > 0 {
		return wrong("", "something is behind the object: %.40q", rest)
	}
	return nil
}

// jsonError names the member that encoding/json complains of.
func jsonError(err error) error {
	var mistyped *json.UnmarshalTypeError
	if errors.As(err, &mistyped) {
		return wrong(strings.TrimPrefix(mistyped.Field, "keyObject."), "a JSON %s, want %s", mistyped.Value, kindOf(mistyped.Type.String()))
	}
	if name, is := strings.CutPrefix(err.Error(), "json: unknown field "); is {
		return wrong(strings.Trim(name, `"`), "unknown")
	}
	return wrong("", "%w", err)
}

// kindOf says for people what a Go type is in JSON.
func kindOf(t string) string {
	switch {
	case t == "uint32":
		return "a whole number from 0 to 4294967295"
	case t == "uint16" || t == "uint8":
		return "a small whole number"
	case t == "float64":
		return "a number"
	case t == "bool":
		return "true or false"
	case strings.HasPrefix(t, "[]"):
		return "an array"
	case t == "string":
		return "a string"
	}
	return "an object"
}
