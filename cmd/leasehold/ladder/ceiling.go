package ladder

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// loopbackCeiling measures how many frames of the given size this machine moves a second over one loopback TCP connection,
// when the sender has them ready and the receiver only counts them: what no server can beat.
func loopbackCeiling(frameOctets int, during time.Duration) (perSecond float64, err error) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return 0, fmt.Errorf("loopback ceiling: %w", err)
	}
	defer l.Close()
	sent := make(chan error, 1)
	go func() { sent <- sendFrames(l, frameOctets, during) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return 0, fmt.Errorf("loopback ceiling: %w", err)
	}
	defer conn.Close()
	start := time.Now()
	frames, err := countFrames(conn)
	elapsed := time.Since(start)
	if !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("loopback ceiling: read: %w", err)
	}
	return float64(frames) / elapsed.Seconds(), <-sent
}

// sendFrames accepts one connection and fills it with frames for a while.
func sendFrames(l net.Listener, frameOctets int, during time.Duration) error {
	conn, err := l.Accept()
	if err != nil {
		return fmt.Errorf("loopback ceiling: accept: %w", err)
	}
	defer conn.Close()
	frame := make([]byte, 2+frameOctets)
	binary.BigEndian.PutUint16(frame, uint16(frameOctets))
	var block []byte
	for len(block)+len(frame) <= 128<<10 {
		block = append(block, frame...)
	}
	for start := time.Now(); time.Since(start) < during; {
		if _, err := conn.Write(block); err != nil {
			return fmt.Errorf("loopback ceiling: write: %w", err)
		}
	}
	return nil
}

// countFrames reads length-prefixed frames (RFC 5460 5.1) until the stream ends, and counts them.
func countFrames(r io.Reader) (frames int, err error) {
	b := bufio.NewReaderSize(r, 256<<10)
	for {
		head, err := b.Peek(2)
		if err != nil {
			return frames, err
		}
		if _, err := b.Discard(2 + int(binary.BigEndian.Uint16(head))); err != nil {
			return frames, err
		}
		frames++
	}
}
