package raftlog

import (
	"encoding/binary"
	"fmt"
)

// extent is what a transaction leaves behind of the log: its own number, and the first and last index; 0 and 0: no entry.
// It is stored as three numbers of 8 octets, big endian.
type extent struct {
	tx, first, last uint64
}

func (e extent) append(dst []byte) []byte {
	for _, n := range []uint64{e.tx, e.first, e.last} {
		dst = binary.BigEndian.AppendUint64(dst, n)
	}
	return dst
}

func parseExtent(b []byte) (extent, error) {
	if len(b) != 24 {
		return extent{}, fmt.Errorf("record of the log's extent has %d octets, want 24", len(b))
	}
	return extent{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])}, nil
}
