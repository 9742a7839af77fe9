package cluster

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/cluster/raftlog"
)

// TestBrokenOffDeletionLeavesNoGap breaks the deletion of many entries off after one transaction, as kill -9 does, and starts
// again: what is there must be a log, without a gap behind entries that count.
func TestBrokenOffDeletionLeavesNoGap(t *testing.T) {
	const entries = 3 * deleteChunk
	for name, r := range map[string]struct{ first, last, floor uint64 }{
		"what contradicts the leader": {500, entries, 0},
		"compaction":                  {1, entries - 500, entries - 500},
		"everything":                  {1, entries, entries},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			st := openTestStores(t, dir)
			var logs []*raft.Log
			for i := range uint64(entries) {
				logs = append(logs, &raft.Log{Index: i + 1, Term: 1})
			}
			if err := errors.Join(st.stable.SetUint64([]byte(keyCurrentTerm), 1), st.log.StoreLogs(logs)); err != nil {
				t.Fatal(err)
			}
			broken := &logStore{LogStore: &onceDeleting{LogStore: st.bolt}, disk: &disk{broken: func(error) {}}}
			if err := broken.DeleteRange(r.first, r.last); !errors.Is(err, errKilled) {
				t.Fatalf("deletion: %v, want that it was broken off", err)
			}
			if err := st.bolt.Close(); err != nil {
				t.Fatal(err)
			}
			log, err := raftlog.Reopen(filepath.Join(dir, logFile))
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			if err := log.Require(r.floor); err != nil {
				t.Error(err)
			}
		})
	}
}

var errKilled = errors.New("killed")

// onceDeleting deletes once and then no more.
type onceDeleting struct {
	raft.LogStore
	done bool
}

// DeleteRange deletes, or is killed.
func (s *onceDeleting) DeleteRange(first, last uint64) error {
	if s.done {
		return errKilled
	}
	s.done = true
	return s.LogStore.DeleteRange(first, last)
}
