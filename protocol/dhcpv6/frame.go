package dhcpv6

import (
	"encoding/binary"
	"errors"
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

// CloseFrame sets the length of the frame that OpenFrame began. If its message is too long the error is ErrTooLong, if it is
// shorter than a message's header ErrShortFrame; dst is then cut back to before the frame.
func CloseFrame(dst []byte, mark int) ([]byte, error) {
	n := len(dst) - mark
	if n > MaxFrame {
		return dst[:mark-frameHeaderOctets], ErrTooLong
	}
	if n < messageHeaderOctets {
		return dst[:mark-frameHeaderOctets], ErrShortFrame
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
