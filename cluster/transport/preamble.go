package transport

import (
	"errors"
	"fmt"
	"io"
)

// ErrPreamble is wrapped by the error about a connection that does not begin as one between nodes of this cluster does.
var ErrPreamble = errors.New("bad preamble")

const (
	magic          = "LHRAFT\x00\x01" // the last octet is the version
	maxClusterName = 255
)

// appendPreamble appends what the dialling side sends first:
//
//	magic         8 octets: "LHRAFT", 0, version 1
//	length        1 octet
//	cluster name  that many octets
func appendPreamble(dst []byte, cluster string) []byte {
	dst = append(dst, magic...)
	dst = append(dst, byte(len(cluster)))
	return append(dst, cluster...)
}

// readPreamble reads the preamble and nothing behind it.
func readPreamble(r io.Reader, cluster string) error {
	var buf [len(magic) + 1 + maxClusterName]byte
	if _, err := io.ReadFull(r, buf[:len(magic)+1]); err != nil {
		return fmt.Errorf("%w: %w", ErrPreamble, err)
	}
	if got := string(buf[:len(magic)]); got != magic {
		return fmt.Errorf("%w: %q", ErrPreamble, got)
	}
	name := buf[len(magic)+1:][:buf[len(magic)]]
	if _, err := io.ReadFull(r, name); err != nil {
		return fmt.Errorf("%w: cluster name: %w", ErrPreamble, err)
	}
	if string(name) != cluster {
		return fmt.Errorf("%w: peer is of cluster %q, not %q", ErrPreamble, name, cluster)
	}
	return nil
}
