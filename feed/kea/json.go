package kea

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// maxDepth bounds the nesting of JSON values.
const maxDepth = 100

// errJSON is wrapped by every syntax error.
var errJSON = errors.New("bad JSON")

// syntaxError tells where JSON is broken, or is not what was expected.
type syntaxError struct {
	offset int
	err    error
}

func (e *syntaxError) Error() string { return fmt.Sprintf("at octet %d: %v", e.offset, e.err) }
func (e *syntaxError) Unwrap() error { return e.err }

// reader walks over JSON (RFC 8259) without building a tree: the caller says what it expects next. Each method begins at the next
// value and leaves pos behind it.
type reader struct {
	src       []byte
	pos       int
	trailing  bool // commas before a closing bracket are let pass, as Kea lets them in its configuration
	octets    bool // \u0000 to \u00ff stand for one octet each, as Kea's commands write what is not ASCII
	depth     int
	unescaped []byte // of the newest string that had escapes
}

// fail makes a syntaxError at the present position.
func (r *reader) fail(format string, args ...any) error {
	return &syntaxError{r.pos, fmt.Errorf("%w: "+format, append([]any{errJSON}, args...)...)}
}

// next skips white space and is the octet that the next value or mark begins with, 0 at the end.
func (r *reader) next() byte {
	for r.pos < len(r.src) {
		switch c := r.src[r.pos]; c {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return c
		}
	}
	return 0
}

// expect takes one octet.
func (r *reader) expect(c byte, what string) error {
	if r.next() != c || r.pos >= len(r.src) {
		return r.fail("%s, want %s", r.found(), what)
	}
	r.pos++
	return nil
}

// found names what is at the present position.
func (r *reader) found() string {
	if r.pos >= len(r.src) {
		return "the end"
	}
	c, _ := utf8.DecodeRune(r.src[r.pos:])
	return strconv.QuoteRune(c)
}

// members runs f for each member of an object or array, between its brackets.
func (r *reader) members(opening, closing byte, what string, f func() error) error {
	if err := r.expect(opening, what); err != nil {
		return err
	}
	if r.depth++; r.depth > maxDepth {
		return r.fail("nested deeper than %d", maxDepth)
	}
	defer func() { r.depth-- }()
	for first := true; ; first = false {
		if r.next() == closing && (first || r.trailing) {
			r.pos++
			return nil
		}
		if err := f(); err != nil {
			return err
		}
		switch r.next() {
		case closing:
			r.pos++
			return nil
		case ',':
			r.pos++
		default:
			return r.fail("%s, want ',' or '%c'", r.found(), closing)
		}
	}
}

// object runs f for each member; key holds until the next string is read, and f must take the value.
func (r *reader) object(f func(key []byte) error) error {
	return r.members('{', '}', "an object", func() error {
		key, err := r.string()
		if err != nil {
			return err
		}
		if err := r.expect(':', "':'"); err != nil {
			return err
		}
		return f(key)
	})
}

// array runs f for each element, which f must take.
func (r *reader) array(f func() error) error { return r.members('[', ']', "an array", f) }

// string takes a string; it holds until the next one is read. Control characters in it are let pass, except line ends: a string
// that holds one has lost its end.
func (r *reader) string() ([]byte, error) {
	if err := r.expect('"', "a string"); err != nil {
		return nil, err
	}
	start := r.pos
	n := bytes.IndexByte(r.src[start:], '"')
	if n < 0 {
		return nil, r.fail("string without end")
	}
	s := r.src[start : start+n]
	if plain := bytes.IndexByte(s, '\\'); plain >= 0 {
		r.pos += plain
		return r.escapedString(start)
	}
	if bytes.IndexByte(s, '\n') >= 0 {
		return nil, r.fail("string without end")
	}
	r.pos += n + 1
	return s, nil
}

// escapedString goes on with a string at its first escape.
func (r *reader) escapedString(start int) ([]byte, error) {
	r.unescaped = append(r.unescaped[:0], r.src[start:r.pos]...)
	for r.pos < len(r.src) {
		c := r.src[r.pos]
		switch {
		case c == '"':
			r.pos++
			return r.unescaped, nil
		case c == '\n':
			return nil, r.fail("string without end")
		case c == '\\':
			if err := r.escape(); err != nil {
				return nil, err
			}
		default:
			r.unescaped = append(r.unescaped, c)
			r.pos++
		}
	}
	return nil, r.fail("string without end")
}

// escape takes one escape. A \u of a surrogate alone becomes the replacement character: such text is never compared.
func (r *reader) escape() error {
	if r.pos+1 >= len(r.src) {
		return r.fail("string without end")
	}
	c := r.src[r.pos+1]
	if plain := bytes.IndexByte([]byte(`"\/bfnrt`), c); plain >= 0 {
		r.unescaped = append(r.unescaped, "\"\\/\b\f\n\r\t"[plain])
		r.pos += 2
		return nil
	}
	if c != 'u' || r.pos+6 > len(r.src) {
		return r.fail("unknown escape")
	}
	v, err := strconv.ParseUint(string(r.src[r.pos+2:r.pos+6]), 16, 16)
	if err != nil {
		return r.fail("unknown escape")
	}
	if r.octets && v < 256 {
		r.unescaped = append(r.unescaped, byte(v))
	} else {
		r.unescaped = utf8.AppendRune(r.unescaped, rune(v))
	}
	r.pos += 6
	return nil
}

// unsigned takes a whole number from 0 to most.
func (r *reader) unsigned(most uint64) (uint64, error) {
	c := r.next()
	start := r.pos
	if c < '0' || c > '9' {
		return 0, r.fail("%s, want a number", r.found())
	}
	r.number()
	v, ok := parseUint(r.src[start:r.pos], most)
	if !ok {
		r.pos = start
		return 0, r.fail("want a whole number from 0 to %d", most)
	}
	return v, nil
}

func (r *reader) number() {
	for r.pos < len(r.src) && bytes.IndexByte([]byte("+-.0123456789Ee"), r.src[r.pos]) >= 0 {
		r.pos++
	}
}

// boolean takes true or false.
func (r *reader) boolean() (bool, error) {
	r.next()
	for _, word := range []string{"true", "false"} {
		if bytes.HasPrefix(r.src[r.pos:], []byte(word)) {
			r.pos += len(word)
			return word == "true", nil
		}
	}
	return false, r.fail("%s, want true or false", r.found())
}

// skip takes a value of any sort.
func (r *reader) skip() error {
	switch c := r.next(); {
	case c == '{':
		return r.object(func([]byte) error { return r.skip() })
	case c == '[':
		return r.array(r.skip)
	case c == '"':
		_, err := r.string()
		return err
	case c == '-' || (c >= '0' && c <= '9'):
		start := r.pos
		r.number()
		if _, err := strconv.ParseFloat(string(r.src[start:r.pos]), 64); err != nil && !errors.Is(err, strconv.ErrRange) {
			r.pos = start
			return r.fail("bad number")
		}
		return nil
	}
	for _, word := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(r.src[r.pos:], []byte(word)) {
			r.pos += len(word)
			return nil
		}
	}
	return r.fail("%s, want a value", r.found())
}

// end checks that nothing follows.
func (r *reader) end() error {
	if r.next() != 0 || r.pos < len(r.src) {
		return r.fail("%s behind the end of the value", r.found())
	}
	return nil
}
