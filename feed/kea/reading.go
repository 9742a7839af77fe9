package kea

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
)

// reading is an open lease file and how far it was read.
type reading struct {
	file    leaseFile
	info    fs.FileInfo // which file it is
	columns columns     // of its header; none before that was read
	next    mark        // where to read on
	known   int64       // what is wrong with a line that begins before this was reported already
}

func newReading(file leaseFile) (*reading, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at open lease file: %w", err)
	}
	return &reading{file: file, info: info}, nil
}

// rewritten tells whether something else is in the file by now where it was read last.
func (r *reading) rewritten() (bool, error) {
	before := r.next.trace.octets[:r.next.trace.n]
	if len(before) == 0 {
		return false, nil // nothing was read
	}
	now := make([]byte, len(before))
	n, err := r.file.ReadAt(now, r.next.offset-int64(len(before)))
	if n < len(before) && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read lease file %s: %w", r.file.Name(), err)
	}
	return !bytes.Equal(now[:n], before), nil
}

// beatLines is after how many lines something else has its turn while a file is read.
const beatLines = 4096

// each reads on from where the reading ended, at most up to the offset end, and calls f for every line but the header and empty
// ones. A line that cannot be read whole comes with an error; a torn one will be read again another time. The columns of p are
// then those of the file. beat is called now and then. Their errors end the reading.
func (r *reading) each(l *lines, p *parser, end int64, beat func() error, f func(line []byte, err error) error) error {
	l.reset(io.NewSectionReader(r.file, r.next.offset, end-r.next.offset), r.next)
	defer func() { r.next = l.mark() }()
	if r.columns.count == 0 {
		if known, err := r.head(l); !known || err != nil {
			return err
		}
	}
	p.columns = r.columns
	for n := 1; ; n++ {
		if n%beatLines == 0 {
			if err := beat(); err != nil {
				return err
			}
		}
		line, err := l.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, ErrTorn) && !errors.Is(err, ErrTooLong):
			return fmt.Errorf("read lease file %s: %w", r.file.Name(), err)
		case err == nil && len(line) == 0:
			continue
		}
		if err := f(line, err); err != nil {
			return err
		}
	}
}

// head reads the header. It is not known while Kea has created the file and not yet written it.
func (r *reading) head(l *lines) (known bool, err error) {
	header, err := l.next()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, ErrTorn):
		return false, nil
	case err == nil:
		if r.columns, err = parseHeader(header); err == nil {
			return true, nil
		}
	case !errors.Is(err, ErrTooLong):
		return false, fmt.Errorf("read lease file %s: %w", r.file.Name(), err)
	}
	r.columns = columns{}
	l.reset(nil, mark{}) // it is read again another time
	return false, &LineError{File: r.file.Name(), Line: 1, Err: err}
}

// wholeFile is an end for each that no file reaches.
const wholeFile = math.MaxInt64
