package bulk

import (
	"encoding/binary"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// frameHeader is the message-size in front of each message (RFC 5460 5.1).
const frameHeader = 2

// firstInbox is what a connection reads into until a longer message comes.
const firstInbox = 4 << 10

// inbox gathers octets as they come and hands out whole messages. It begins small and grows to the longest message that came,
// so at most to 65,537 octets. It does not read by itself: past the limit of queries nothing more is to be read.
type inbox struct {
	buf        []byte
	start, end int // what has come and was not handed out
}

// next is the next whole message, without its size, or nil when more octets are needed; it holds until space is called. The
// error is dhcpv6.ErrShortFrame.
func (b *inbox) next() ([]byte, error) {
	frame, n, err := dhcpv6.NextFrame(b.buf[b.start:b.end])
	b.start += n
	return frame, err
}

// partial tells whether a frame has begun to come.
func (b *inbox) partial() bool { return b.end > b.start }

// space is where the next octets go: never empty, and enough for the frame that has begun.
func (b *inbox) space() []byte {
	b.end = copy(b.buf, b.buf[b.start:b.end])
	b.start = 0
	want := firstInbox
	if b.end >= frameHeader {
		want = max(want, frameHeader+int(binary.BigEndian.Uint16(b.buf)))
	}
	if len(b.buf) < want {
		grown := make([]byte, want)
		copy(grown, b.buf[:b.end])
		b.buf = grown
	}
	return b.buf[b.end:]
}

// came says that n octets were put into space.
func (b *inbox) came(n int) { b.end += n }
