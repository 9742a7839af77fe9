package dhcpv6

import (
	"errors"
	"fmt"
	"io"
)

const (
	firstBuffer   = 4 << 10                      // what a Reader begins with when it is given nothing
	maxBuffer     = frameHeaderOctets + MaxFrame // what it grows to at most
	maxEmptyReads = 100                          // reads without octets or error, one after another, that are borne
)

// Reader takes frames from a stream, wherever the stream is cut.
type Reader struct {
	r          io.Reader
	buf        []byte
	start, end int   // what is buffered: buf[start:end]
	err        error // what the stream's last read said, until Next hands it out
}

// NewReader reads frames from r through buf. A short or nil buf is enough to begin with: when a frame does not fit, the buffer
// grows with the octets that have come, to 65,537 at most, and never to what a frame only announces.
func NewReader(r io.Reader, buf []byte) *Reader {
	if len(buf) < frameHeaderOctets+messageHeaderOctets {
		buf = make([]byte, firstBuffer)
	}
	return &Reader{r: r, buf: buf}
}

// Next is the next frame's message, without its length; it holds until the next call. The error is io.EOF between frames,
// io.ErrUnexpectedEOF in the middle of one, ErrShortFrame, io.ErrNoProgress, or the stream's own. After a stream's passing error, such as a timeout, Next may be
// called again; nothing is lost.
func (r *Reader) Next() ([]byte, error) {
	for {
		frame, n, err := NextFrame(r.buf[r.start:r.end])
		if err != nil {
			return nil, err
		}
		if n > 0 {
			r.start += n
			return frame, nil
		}
		if r.err != nil {
			err, r.err = r.ending(), nil
			return nil, err
		}
		r.fill()
	}
}

// Buffered is how many octets have been read and not yet taken as frames.
func (r *Reader) Buffered() int { return r.end - r.start }

// fill reads more octets behind those buffered, or sets r.err, or both.
func (r *Reader) fill() {
	if r.start > 0 {
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	if r.end == len(r.buf) { // holds less than one frame, so it is shorter than the longest
		grown := make([]byte, min(2*len(r.buf), maxBuffer))
		copy(grown, r.buf)
		r.buf = grown
	}
	for range maxEmptyReads {
		n, err := r.r.Read(r.buf[r.end:])
		r.end += n
		r.err = err
		if n > 0 || err != nil {
			return
		}
	}
	r.err = io.ErrNoProgress
}

// ending is what r.err means to the caller.
func (r *Reader) ending() error {
	switch {
	case !errors.Is(r.err, io.EOF):
		return fmt.Errorf("read frame: %w", r.err)
	case r.Buffered() > 0:
		return io.ErrUnexpectedEOF
	}
	return io.EOF
}
