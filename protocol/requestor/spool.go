package requestor

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// spool keeps an answer's messages, framed, until it is known to be complete. The first octets stay in memory; from limit on
// everything goes to a temporary file that has no name any more, so that it is gone with the process.
type spool struct {
	dir     string
	limit   int
	memory  []byte
	file    *os.File
	writer  *bufio.Writer
	scratch []byte
}

// appendFrame appends a message that came in a frame as that frame.
func appendFrame(dst, message []byte) ([]byte, error) {
	out, mark := dhcpv6.OpenFrame(dst)
	return dhcpv6.CloseFrame(append(out, message...), mark)
}

// add keeps one message.
func (s *spool) add(message []byte) error {
	var err error
	if s.scratch, err = appendFrame(s.scratch[:0], message); err != nil {
		return fmt.Errorf("write spool: %w", err)
	}
	if s.file == nil && len(s.memory)+len(s.scratch) <= s.limit {
		s.memory = append(s.memory, s.scratch...)
		return nil
	}
	if s.file == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	if _, err := s.writer.Write(s.scratch); err != nil {
		return fmt.Errorf("write spool: %w", err)
	}
	return nil
}

func (s *spool) open() error {
	f, err := os.CreateTemp(s.dir, "leasehold-answer-*")
	if err != nil {
		return fmt.Errorf("make spool: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return errors.Join(fmt.Errorf("unlink spool: %w", err), f.Close())
	}
	s.file, s.writer = f, bufio.NewWriterSize(f, 64<<10)
	return nil
}

// reader reads everything that was kept, from the start.
func (s *spool) reader() (io.Reader, error) {
	if s.file == nil {
		return bytes.NewReader(s.memory), nil
	}
	if err := s.writer.Flush(); err != nil {
		return nil, fmt.Errorf("write spool: %w", err)
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("rewind spool: %w", err)
	}
	return io.MultiReader(bytes.NewReader(s.memory), s.file), nil
}

// close gives the file back.
func (s *spool) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file, s.writer = nil, nil
	if err != nil {
		return fmt.Errorf("close spool: %w", err)
	}
	return nil
}
