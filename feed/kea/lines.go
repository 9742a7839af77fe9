package kea

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxLine bounds a line's length, and the memory for it. The longest lease that can be stored needs about 70 KiB.
const maxLine = 256 << 10

// mark is a place between two lines of a file.
type mark struct {
	offset int64 // of the octet after it
	number int   // of the line before it, from 1; 0 at the beginning
	long   bool  // in the middle of a line that is too long and was told of: its rest is to be passed over
	trace  trace
}

// trace is the last octets before a place, mostly a line and more: the place is known again by them.
type trace struct {
	octets [512]byte
	n      int // so many of them
}

// add notes that the place moved on over these octets.
func (t *trace) add(b []byte) {
	b = b[max(0, len(b)-len(t.octets)):]
	keep := min(t.n, len(t.octets)-len(b))
	copy(t.octets[:], t.octets[t.n-keep:t.n])
	copy(t.octets[keep:], b)
	t.n = keep + len(b)
}

// lines reads a file line by line.
type lines struct {
	in     *bufio.Reader
	number int   // of the newest line, from 1
	start  int64 // where it begins in the file
	end    int64 // where the next one begins
	torn   bool  // it has no end
	long   bool  // in a line that is too long
	trace  trace // before end, or before start if it is torn
	ended  bool  // the file's end was met: what is appended from then on is for another reading
}

func newLines() *lines { return &lines{in: bufio.NewReaderSize(nil, maxLine)} }

// reset begins at a place of another file, or of the same; r is what comes after it.
func (l *lines) reset(r io.Reader, at mark) {
	l.in.Reset(r)
	*l = lines{in: l.in, number: at.number, start: at.offset, end: at.offset, long: at.long, trace: at.trace}
}

// mark is where to read on another time: behind the newest line, or before it if it is torn.
func (l *lines) mark() mark {
	if l.torn {
		return mark{l.start, l.number - 1, false, l.trace}
	}
	return mark{l.end, l.number, l.long, l.trace}
}

// next is the next line without its end; it holds until the one after it is read. A line that is too long is passed over: the
// error is ErrTooLong, and the line may be followed by others. A last line without end is given with ErrTorn; then, as after the
// last whole line, the error is io.EOF.
func (l *lines) next() ([]byte, error) {
	if l.long {
		if err := l.discard(); err != nil {
			return nil, err
		}
	}
	if l.ended {
		return nil, io.EOF
	}
	l.start = l.end
	line, err := l.in.ReadSlice('\n')
	l.end += int64(len(line))
	if len(line) > 0 {
		l.number++
	}
	switch {
	case err == nil:
		l.trace.add(line)
		return bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'}), nil
	case errors.Is(err, bufio.ErrBufferFull):
		l.trace.add(line)
		l.long = true
		return nil, ErrTooLong
	case errors.Is(err, io.EOF) && len(line) > 0:
		l.ended, l.torn = true, true
		return line, ErrTorn
	case errors.Is(err, io.EOF):
		l.ended = true
	}
	return nil, err
}

// discard passes over the rest of a line that is too long. The error is io.EOF if its end was not there.
func (l *lines) discard() error {
	for {
		rest, err := l.in.ReadSlice('\n')
		l.end += int64(len(rest))
		l.trace.add(rest)
		switch {
		case err == nil:
			l.long = false
			return nil
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			l.ended = true
		}
		return err
	}
}
