package fsm

import (
	"fmt"
	"io"

	"github.com/leasehold/leasehold/fsm/binding"
)

// SnapshotInfo is what a snapshot says of itself.
type SnapshotInfo struct {
	ClusterID string       // a UUID; empty in a snapshot of before the cluster was founded
	Level     uint32       // the format level that it was written at
	Index     uint64       // the newest log entry in it
	Term      uint64       // the term of that entry
	Clock     binding.Time // the closed time
	Size      uint64       // octets
}

// VerifySnapshot reads a snapshot to its end and verifies that it is whole: every checksum, the order and number of the blocks, and that
// nothing follows. It holds one block at a time and does not read what the blocks say; Restore does. Errors wrap ErrCorrupt, or
// ErrVersion for a snapshot that a newer version wrote, or are the reader's.
func VerifySnapshot(r io.Reader) (SnapshotInfo, error) {
	b, h, err := newBlockReader(r)
	if err != nil {
		return SnapshotInfo{}, fmt.Errorf("snapshot: %w", err)
	}
	for b.kind != sectionEnd && err == nil {
		err = b.next()
	}
	if err == nil {
		err = b.close()
	}
	if err != nil {
		return SnapshotInfo{}, fmt.Errorf("snapshot: %w", err)
	}
	info := SnapshotInfo{Level: h.level, Index: h.index, Term: h.term, Clock: h.clock}
	info.Size = snapshotHeader + b.n*blockHeader + b.total + blockHeader + sectionEndSize
	if h.cluster != [16]byte{} {
		info.ClusterID = formatUUID(h.cluster)
	}
	return info, nil
}

// sectionEndSize is how many octets of data the last block has: the totals.
const sectionEndSize = 16
