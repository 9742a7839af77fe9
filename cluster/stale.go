package cluster

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// dropStale deletes the log up to the last entry of a snapshot if it does not have that entry: then what it has was never
// committed, or nobody can tell. Raft keeps it (hashicorp/raft#697), refuses what follows the snapshot because of it, is sent
// the snapshot again, and so on; and once the node leads it would send others what was never committed. What is behind the
// snapshot Raft itself compares with what the leader sends. A snapshot of the node's own has the log's entry and changes nothing.
func (s *stores) dropStale(index, term uint64) error {
	first, err := s.bolt.FirstIndex()
	if err != nil {
		return fmt.Errorf("look for the log before a snapshot: %w", err)
	}
	if first == 0 || first > index {
		return nil
	}
	var l raft.Log
	err = s.bolt.GetLog(index, &l)
	switch {
	case err == nil && l.Term == term:
		return nil
	case err != nil && !errors.Is(err, raft.ErrLogNotFound):
		return fmt.Errorf("compare the log with a snapshot: %w", err)
	}
	return s.cached.DeleteRange(first, index)
}
