package iscdhcp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"
)

// maxRecord bounds a record, and the memory for it. dhcpd's largest are a few KiB.
const maxRecord = 1 << 20

// place is where a record begins.
type place struct {
	offset int64
	line   int // from 1
}

// record is a statement of the outermost level: everything up to its ";" or "}".
type record struct {
	text  []byte // of the splitter: holds until the next line is read
	start place
	err   error // why it is none: it is broken off, or too long
}

// blockStart is the line that begins a block of leases as dhcpd writes it. Nothing else ends like this; so wherever it is met, a
// block begins, and what was before it is broken off.
var blockStart = regexp.MustCompile(`ia-(?:na|ta|pd) (?:"(?:[^"\\\n]|\\[^\n])*"|[0-9a-fA-F:]+) \{\s*$`)

// splitter cuts a lease file into records. A record at the end of what there is that is not complete yet is left for another time.
type splitter struct {
	in      *bufio.Reader
	next    place // of the next line
	pending []byte
	start   place // of pending, if there is any
	long    bool  // pending is too long: its text is not kept
	depth   int   // of braces
	state   byte  // 0, or what the text is in: '"' a string, '\\' its escape, '#' a comment
	ready   []record
	rest    []byte // a last line without end
}

func newSplitter() *splitter { return &splitter{in: bufio.NewReaderSize(nil, 64<<10)} }

// reset begins at a place; r is what comes after it.
func (s *splitter) reset(r io.Reader, at place) {
	s.in.Reset(r)
	*s = splitter{in: s.in, next: at, pending: s.pending[:0]}
}

// resume is where to read on another time.
func (s *splitter) resume() place {
	if len(s.pending) > 0 || s.long {
		return s.start
	}
	return s.next
}

// record is the next record that is complete. The error is io.EOF when there is none, or that of reading.
func (s *splitter) record() (record, error) {
	for len(s.ready) == 0 {
		if err := s.line(); err != nil {
			return record{}, err
		}
	}
	r := s.ready[0]
	s.ready = s.ready[1:]
	return r, nil
}

// broken is what is left at the end of a file to which nothing will be appended.
func (s *splitter) broken() (record, bool) {
	if len(s.rest) > 0 {
		s.feed(s.rest, s.next)
		s.rest = nil
	}
	if len(s.ready) > 0 { // the last record lacked only its line's end
		r := s.ready[0]
		s.ready = s.ready[1:]
		return r, true
	}
	if len(s.pending) == 0 && !s.long {
		return record{}, false
	}
	s.breakOff()
	r := s.ready[0]
	s.ready = nil
	return r, true
}

// line takes the next line in.
func (s *splitter) line() error {
	line, err := s.in.ReadSlice('\n')
	switch {
	case errors.Is(err, io.EOF):
		s.rest = line
		return io.EOF
	case err != nil && !errors.Is(err, bufio.ErrBufferFull):
		return err
	}
	s.feed(line, s.next)
	s.next.offset += int64(len(line))
	if err == nil {
		s.next.line++
	}
	return nil
}

// feed takes a line in that is at a place.
func (s *splitter) feed(line []byte, at place) {
	if loc := s.begins(line); loc >= 0 {
		s.octets(line[:loc], at)
		if len(s.pending) > 0 || s.long {
			s.breakOff()
		}
		s.depth, s.state = 0, 0
		line, at.offset = line[loc:], at.offset+int64(loc)
	}
	s.octets(line, at)
}

// begins is where in a line a block begins; -1: nowhere.
func (s *splitter) begins(line []byte) int {
	if !bytes.Contains(line, []byte("ia-")) || bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte{'#'}) {
		return -1
	}
	if loc := blockStart.FindIndex(line); loc != nil {
		return loc[0]
	}
	return -1
}

// octets goes over the text of a line.
func (s *splitter) octets(line []byte, at place) {
	from := 0 // where what is pending begins in the line
	for i, c := range line {
		idle := len(s.pending) == 0 && !s.long && from == i
		if s.state == 0 && idle && (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
			from = i + 1
			continue
		}
		if idle {
			s.start = place{at.offset + int64(i), at.line}
		}
		if s.step(c) {
			s.keep(line[from : i+1])
			s.complete()
			from = i + 1
		} else if c == '\n' && s.depth == 0 && s.onlyComment(line[from:i]) {
			from = i + 1
		}
	}
	s.keep(line[from:])
}

// onlyComment tells whether nothing but a comment is pending with the rest of a line.
func (s *splitter) onlyComment(rest []byte) bool {
	return len(s.pending) == 0 && !s.long && len(rest) > 0 && rest[0] == '#'
}

// step takes an octet and tells whether it ends a record.
func (s *splitter) step(c byte) bool {
	switch {
	case s.state == '\\' && c != '\n':
		s.state = '"'
	case c == '\n': // neither comments nor strings go on
		s.state = 0
	case s.state == '"' && c == '\\', s.state == '"' && c == '"', s.state == 0 && (c == '"' || c == '#'):
		switch {
		case c == '"' && s.state == '"':
			s.state = 0
		default:
			s.state = c
		}
	case s.state != 0:
	case c == '{':
		s.depth++
	case c == '}':
		s.depth = max(s.depth-1, 0)
		return s.depth == 0
	case c == ';':
		return s.depth == 0
	}
	return false
}

// keep appends to what is pending.
func (s *splitter) keep(text []byte) {
	if s.long || len(s.pending)+len(text) > maxRecord {
		s.long, s.pending = s.long || len(text) > 0, s.pending[:0]
		return
	}
	s.pending = append(s.pending, text...)
}

func (s *splitter) complete() { s.emit(nil) }
func (s *splitter) breakOff() { s.emit(ErrTorn) }

func (s *splitter) emit(err error) {
	if s.long {
		err = ErrLong
	}
	s.ready = append(s.ready, record{bytes.Clone(s.pending), s.start, err})
	s.pending, s.long = s.pending[:0], false
}
