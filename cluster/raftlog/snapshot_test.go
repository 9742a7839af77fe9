package raftlog

import (
	"path/filepath"
	"testing"
)

// TestNewestSnapshotStaysNoted notes an older snapshot after a newer one, as happens when a node's own ends after the leader's.
func TestNewestSnapshotStaysNoted(t *testing.T) {
	l := openTest(t, filepath.Join(t.TempDir(), "raft.db"))
	for _, s := range [][2]uint64{{5, 1}, {9, 2}, {7, 1}} {
		if err := l.SetSnapshot(s[0], s[1]); err != nil {
			t.Fatal(err)
		}
	}
	if index, term, err := l.Snapshot(); index != 9 || term != 2 || err != nil {
		t.Errorf("newest snapshot: entry %d, term %d, %v; want entry 9, term 2", index, term, err)
	}
}
