package kea

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxLine bounds a line's length, and the memory for it. The longest lease that can be stored needs about 70 KiB.
const maxLine = 256 << 10

// lines reads a file line by line.
type lines struct {
	in     *bufio.Reader
	number int   // of the newest line, from 1
	start  int64 // where it begins in the file
	end    int64 // where the next one begins
}

func newLines() *lines { return &lines{in: bufio.NewReaderSize(nil, maxLine)} }

// reset begins with another file.
func (l *lines) reset(r io.Reader) {
	l.in.Reset(r)
	l.number, l.start, l.end = 0, 0, 0
}

// next is the next line without its end; it holds until the one after it is read. A line that is too long is passed over: the
// error is ErrTooLong, and the line may be followed by others. A last line without end is given with ErrTorn; then, as after the
// last whole line, the error is io.EOF.
func (l *lines) next() ([]byte, error) {
	l.start = l.end
	line, err := l.in.ReadSlice('\n')
	l.end += int64(len(line))
	if len(line) > 0 {
		l.number++
	}
	switch {
	case err == nil:
		return bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'}), nil
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, l.discard()
	case errors.Is(err, io.EOF) && len(line) > 0:
		return line, ErrTorn
	}
	return nil, err
}

// discard passes over the rest of a line.
func (l *lines) discard() error {
	for {
		rest, err := l.in.ReadSlice('\n')
		l.end += int64(len(rest))
		switch {
		case err == nil || errors.Is(err, io.EOF):
			return ErrTooLong
		case !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}
