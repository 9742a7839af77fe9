package fsm

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/leasehold/leasehold/fsm/binding"
)

// Session tells which batch of which source an entry is. A source numbers its batches from 1 within an epoch, which it chose at
// random; what is sent again keeps its number and is applied once.
type Session struct {
	Source   string // 1 to MaxSource octets of UTF-8
	Epoch    uint64 // not 0
	Sequence uint64 // from 1
}

// Validate tells why the session may not be proposed: an error that wraps binding.ErrInvalid and names the field, or nil.
func (s Session) Validate() error {
	switch {
	case s.Source == "" || len(s.Source) > MaxSource:
		return fmt.Errorf("%w: source name of %d octets, want 1 to %d", binding.ErrInvalid, len(s.Source), MaxSource)
	case !utf8.ValidString(s.Source) || strings.ContainsFunc(s.Source, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("%w: source name %q is not printable UTF-8", binding.ErrInvalid, s.Source)
	case s.Epoch == 0:
		return fmt.Errorf("%w: epoch 0 of source %q", binding.ErrInvalid, s.Source)
	case s.Sequence == 0:
		return fmt.Errorf("%w: sequence 0 of source %q", binding.ErrInvalid, s.Source)
	}
	return nil
}

// A session in an entry: the source's name behind its length, a varint; the epoch, 8 octets; the sequence, a varint.
func appendSession(dst []byte, s Session) []byte {
	dst = appendText(dst, s.Source)
	dst = binary.BigEndian.AppendUint64(dst, s.Epoch)
	return binary.AppendUvarint(dst, s.Sequence)
}

// wireSession is a Session whose source is still octets of the entry.
type wireSession struct {
	source          []byte
	epoch, sequence uint64
}

func (c *cursor) session() wireSession {
	s := wireSession{
		source:   c.octets(MaxSource, "source name"),
		epoch:    c.uint64("epoch"),
		sequence: c.uvarint("sequence"),
	}
	if c.failed == "" && (len(s.source) == 0 || s.epoch == 0 || s.sequence == 0) {
		c.fail("session")
	}
	return s
}

// AppendResyncBegin appends an entry by which a source begins to state everything it has; with links, also the links it
// defines. The error wraps binding.ErrInvalid.
func AppendResyncBegin(dst []byte, s Session, links bool) ([]byte, error) {
	dst, err := appendSessionEntry(dst, TypeResyncBegin, s)
	if err != nil {
		return dst, err
	}
	if links {
		return append(dst, 1), nil
	}
	return append(dst, 0), nil
}

// AppendResyncEnd appends an entry by which a source says that it has stated everything. The error wraps binding.ErrInvalid.
func AppendResyncEnd(dst []byte, s Session) ([]byte, error) {
	return appendSessionEntry(dst, TypeResyncEnd, s)
}

func appendSessionEntry(dst []byte, t Type, s Session) ([]byte, error) {
	if err := s.Validate(); err != nil {
		return dst, fmt.Errorf("%v entry: %w", t, err)
	}
	return appendSession(appendEntryHeader(dst, t), s), nil
}

// AppendTick appends an entry that only lets time go on and does what is due by then: it touches at most limit bindings.
func AppendTick(dst []byte, limit uint32) []byte {
	return binary.AppendUvarint(appendEntryHeader(dst, TypeTick), uint64(min(limit, maxTick)))
}

// maxTick is the most bindings that one tick touches: what a node does without a pause.
const maxTick = 1 << 20
