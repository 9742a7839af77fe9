package jsonlines

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// MaxLine is how many octets a line may have; the rest of a longer one is read over.
const MaxLine = 1 << 20

// errLong is why a line is refused that is too long.
var errLong = fmt.Errorf("%w: longer than %d octets", ErrLine, MaxLine)

// lines cuts an input into lines.
type lines struct {
	in     *bufio.Reader
	number int
	octets []byte
}

func newLines(in io.Reader) *lines { return &lines{in: bufio.NewReaderSize(in, 1<<16)} }

// next is the next line that is neither empty nor a comment (#); it holds until the next call. long is true for one that is too
// long, of which there is nothing. The error is io.EOF behind the last line, or the input's.
func (l *lines) next() (octets []byte, long bool, err error) {
	for {
		octets, long, err = l.read()
		if text := bytes.TrimSpace(octets); long || len(text) > 0 && text[0] != '#' {
			return text, long, nil // an error comes again with the next call
		}
		if err != nil {
			return nil, false, err
		}
	}
}

// read takes one line, whatever is in it. What comes without a line end before io.EOF is a line; before another error it is none.
func (l *lines) read() (octets []byte, long bool, err error) {
	l.octets = l.octets[:0]
	for read := 0; ; {
		piece, err := l.in.ReadSlice('\n')
		if read == 0 && len(piece) > 0 {
			l.number++
		}
		read += len(piece)
		if long = long || len(l.octets)+len(piece) > MaxLine; !long {
			l.octets = append(l.octets, piece...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return nil, false, err
		}
		if long {
			return nil, true, err
		}
		return l.octets, false, err
	}
}
