package iscdhcp

import (
	"bytes"
	"fmt"
)

// kind is what a token is.
type kind uint8

const (
	end    kind = iota // there are no more
	word               // up to a space or a mark
	quoted             // a string, with its quotes and escapes
	mark               // one of { } ; =
)

// token is a piece of the language in which dhcpd writes leases and reads its configuration.
type token struct {
	kind kind
	text []byte
	line int
}

// is tells whether t is this mark or word.
func (t token) is(text string) bool { return t.kind != quoted && string(t.text) == text }

// tokens walks over a record.
type tokens struct {
	text []byte
	at   int
	line int // of the octet at
}

// next is the next token. The error is of a string without end, which is passed over up to the line's end.
func (s *tokens) next() (token, error) {
	s.space()
	if s.at == len(s.text) {
		return token{end, nil, s.line}, nil
	}
	start := s.at
	switch c := s.text[start]; {
	case bytes.IndexByte([]byte("{};="), c) >= 0:
		s.at++
		return token{mark, s.text[start:s.at], s.line}, nil
	case c == '"':
		return s.quoted()
	}
	for s.at < len(s.text) && bytes.IndexByte([]byte(" \t\r\n{};=\"#"), s.text[s.at]) < 0 {
		s.at++
	}
	return token{word, s.text[start:s.at], s.line}, nil
}

// space passes over spaces and comments.
func (s *tokens) space() {
	for ; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '\n':
			s.line++
		case ' ', '\t', '\r':
		case '#':
			n := bytes.IndexByte(s.text[s.at:], '\n')
			if n < 0 {
				s.at = len(s.text)
				return
			}
			s.at += n - 1
		default:
			return
		}
	}
}

func (s *tokens) quoted() (token, error) {
	start := s.at
	for s.at++; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '"':
			s.at++
			return token{quoted, s.text[start:s.at], s.line}, nil
		case '\\':
			if s.at+1 < len(s.text) && s.text[s.at+1] != '\n' {
				s.at++
			}
		case '\n':
			t := token{quoted, s.text[start:s.at], s.line}
			return t, wrong(t, ErrString, "no end on its line")
		}
	}
	t := token{quoted, s.text[start:], s.line}
	return t, wrong(t, ErrString, "no end")
}

// octets are what a string stands for. dhcpd writes what is not printable as three octal digits, and quotes and backslashes behind a
// backslash; it reads \t \r \n \b and \xHH too.
func (t token) octets() ([]byte, error) {
	if t.kind != quoted || len(t.text) < 2 {
		return nil, wrong(t, ErrString, "a string is needed")
	}
	in := t.text[1 : len(t.text)-1]
	out := make([]byte, 0, len(in))
	for i := 0; i < len(in); i++ {
		if in[i] != '\\' {
			out = append(out, in[i])
			continue
		}
		c, n, ok := unescape(in[i+1:])
		if !ok {
			return nil, wrong(t, ErrString, fmt.Sprintf("escape at %d", i))
		}
		out = append(out, c)
		i += n
	}
	return out, nil
}

// unescape is what follows a backslash, and how many octets of it.
func unescape(in []byte) (c byte, n int, ok bool) {
	if len(in) == 0 {
		return 0, 0, false
	}
	switch in[0] {
	case 't':
		return '\t', 1, true
	case 'r':
		return '\r', 1, true
	case 'n':
		return '\n', 1, true
	case 'b':
		return '\b', 1, true
	case 'x':
		return digits(in[1:], 16, 2, 1)
	case '0', '1', '2', '3', '4', '5', '6', '7':
		return digits(in, 8, 3, 0)
	}
	return in[0], 1, true
}

// digits reads up to most digits; n counts skipped octets too.
func digits(in []byte, base, most, skipped int) (c byte, n int, ok bool) {
	v := 0
	for n < most && n < len(in) {
		d := digit(in[n])
		if d >= base {
			break
		}
		v = v*base + d
		n++
	}
	return byte(v), n + skipped, n > 0 && v <= 255
}

// digit is the value of a digit up to base 16; 16 for what is none.
func digit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return 16
}

// hexOctets reads octets joined by colons, each of one or two digits, as lease-id-format hex and binary-to-ascii(16, 8, ":", …)
// write them.
func hexOctets(text []byte) (out []byte, ok bool) {
	for part := range bytes.SplitSeq(text, []byte{':'}) {
		c, n, ok := digits(part, 16, 2, 0)
		if !ok || n != len(part) {
			return nil, false
		}
		out = append(out, c)
	}
	return out, true
}
