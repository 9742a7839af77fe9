package transport

import (
	"errors"
	"fmt"
	"io"
)

// ErrPreamble is wrapped by the error about a connection that does not begin as one between nodes of this cluster does.
var ErrPreamble = errors.New("bad preamble")

const (
	magic   = "LHRAFT\x00\x01" // the last octet is the version
	maxName = 255
)

// appendPreamble appends what the dialling side sends first:
//
//	magic         8 octets: "LHRAFT", 0, version 1
//	length        1 octet
//	cluster name  that many octets
//	length        1 octet
//	server id     that many octets: whom the caller wants to talk to
func appendPreamble(dst []byte, cluster, id string) []byte {
	dst = append(dst, magic...)
	dst = append(dst, byte(len(cluster)))
	dst = append(dst, cluster...)
	dst = append(dst, byte(len(id)))
	return append(dst, id...)
}

// readPreamble reads the preamble and nothing behind it.
func readPreamble(r io.Reader, cluster, id string) error {
	var head [len(magic)]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fmt.Errorf("%w: %w", ErrPreamble, err)
	}
	if string(head[:]) != magic {
		return fmt.Errorf("%w: %q", ErrPreamble, head)
	}
	if got, err := readName(r); err != nil {
		return fmt.Errorf("%w: cluster name: %w", ErrPreamble, err)
	} else if got != cluster {
		return fmt.Errorf("%w: peer is of cluster %q, not %q", ErrPreamble, got, cluster)
	}
	if got, err := readName(r); err != nil {
		return fmt.Errorf("%w: server id: %w", ErrPreamble, err)
	} else if got != id {
		return fmt.Errorf("%w: peer wants to talk to server %q, this is %q", ErrPreamble, got, id)
	}
	return nil
}

func readName(r io.Reader) (string, error) {
	var buf [1 + maxName]byte
	if _, err := io.ReadFull(r, buf[:1]); err != nil {
		return "", err
	}
	name := buf[1:][:buf[0]]
	if _, err := io.ReadFull(r, name); err != nil {
		return "", err
	}
	return string(name), nil
}
