package dhcpv6

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// MaxFrame is the longest message that a frame can hold, in octets.
const MaxFrame = 65535

// frameHeaderOctets is the length field in front of each message over TCP (RFC 5460 5.1).
const frameHeaderOctets = 2

// ErrShortFrame is returned for a frame that cannot hold a message's header. The stream is no longer to be trusted.
var ErrShortFrame = errors.New("frame under 4 octets")

// AppendFrame appends a message as a frame (RFC 5460 5.1): its length in two octets, then the message. The error is ErrTooLong,
// with dst unchanged.
func AppendFrame(dst []byte, m Message) ([]byte, error) {
	n := m.Length()
	if n > MaxFrame {
		return dst, ErrTooLong
	}
	return m.AppendBinary(append(dst, byte(n>>8), byte(n)))
}

// OpenFrame appends the length of a frame whose message the caller appends next; CloseFrame, given mark, sets it.
func OpenFrame(dst []byte) (out []byte, mark int) {
	return append(dst, 0, 0), len(dst) + frameHeaderOctets
}

// CloseFrame sets the length of the frame that OpenFrame began. If its message is too long the error is ErrTooLong, and dst is
// cut back to before the frame.
func CloseFrame(dst []byte, mark int) ([]byte, error) {
	n := len(dst) - mark
	if n > MaxFrame {
		return dst[:mark-frameHeaderOctets], ErrTooLong
	}
	dst[mark-2], dst[mark-1] = byte(n>>8), byte(n)
	return dst, nil
}

// NextFrame takes the first frame from b, a piece of the stream. n is how many octets it takes, with its length field; 0 when b
// does not hold all of it yet. The error is ErrShortFrame.
func NextFrame(b []byte) (frame []byte, n int, err error) {
	if len(b) < frameHeaderOctets {
		return nil, 0, nil
	}
	size := int(binary.BigEndian.Uint16(b))
	if size < messageHeaderOctets {
		return nil, 0, ErrShortFrame
	}
	n = frameHeaderOctets + size
	if len(b) < n {
		return nil, 0, nil
	}
	return b[frameHeaderOctets:n:n], n, nil
}

// Reader takes frames from a stream, wherever the stream is cut.
type Reader struct {
	r          io.Reader
	buf        []byte
	start, end int // what is buffered: buf[start:end]
}

// NewReader reads frames from r through buf, which bounds the memory that is used: it is made as long as the longest frame if it
// is shorter.
func NewReader(r io.Reader, buf []byte) *Reader {
	if len(buf) < frameHeaderOctets+MaxFrame {
		buf = make([]byte, frameHeaderOctets+MaxFrame)
	}
	return &Reader{r: r, buf: buf}
}

// Next is the next frame's message; it holds until the next call. The error is io.EOF between frames, io.ErrUnexpectedEOF in
// the middle of one, ErrShortFrame, or the stream's own.
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
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads more octets behind those buffered.
func (r *Reader) fill() error {
	if r.start > 0 {
		copy(r.buf, r.buf[r.start:r.end])
		r.start, r.end = 0, r.end-r.start
	}
	n, err := r.r.Read(r.buf[r.end:])
	r.end += n
	switch {
	case n > 0:
		return nil
	case errors.Is(err, io.EOF) && r.end > 0:
		return io.ErrUnexpectedEOF
	case errors.Is(err, io.EOF):
		return io.EOF
	case err != nil:
		return fmt.Errorf("read frame: %w", err)
	}
	return nil
}

// Buffered is how many octets have been read and not yet taken as frames.
func (r *Reader) Buffered() int { return r.end - r.start }
