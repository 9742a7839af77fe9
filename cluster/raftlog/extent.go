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

// compare tells whether what was found is what the record in the file says. A record of an older transaction is one of two things.
// Either another program, which does not know it, wrote since: then there are values without seals, or its last transaction,
// that with which it opened the file, changed nothing; so foreign says. Or the page with the record, the root, is itself an
// old one: the new one never reached the disk, and what it leads to is older too. A younger one is of a file that was compacted.
func (e extent) compare(record extent, foreign bool) error {
	switch {
	case record.tx == e.tx && record != e:
		return fmt.Errorf("the log has entries %d to %d, and had %d to %d when it was written last", e.first, e.last, record.first, record.last)
	case record.tx < e.tx && !foreign:
		return fmt.Errorf("the root page is of transaction %d, want %d: it was not written", record.tx, e.tx)
	}
	return nil
}
