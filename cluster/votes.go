package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/cluster/raftlog"
)

// Raft's names for the term and the two halves of a vote, and ours for the whole.
const (
	keyCurrentTerm  = "CurrentTerm"
	keyLastVoteTerm = "LastVoteTerm"
	keyLastVoteCand = "LastVoteCand"
	keyVote         = "Vote"
)

// voteStore is the stable store that Raft votes from. Raft writes a vote in two steps, the term and then the candidate; a
// crash between them leaves the old candidate with the new term, to whom the vote is then granted again without looking at
// its log (hashicorp/raft#661). So the term is held in memory until the candidate comes, and both become one record:
//
//	term       8 octets, big endian
//	candidate  the rest: the address as Raft encodes it
//
// Only Raft's main goroutine uses it.
type voteStore struct {
	raft.StableStore
	term    uint64 // told and not yet written
	pending bool
}

// SetUint64 holds LastVoteTerm back and writes everything else.
func (s *voteStore) SetUint64(key []byte, v uint64) error {
	if string(key) == keyLastVoteTerm {
		s.term, s.pending = v, true
		return nil
	}
	return s.StableStore.SetUint64(key, v)
}

// Set writes LastVoteCand together with the term that was held back, and everything else as it is.
func (s *voteStore) Set(key, v []byte) error {
	if string(key) != keyLastVoteCand {
		return s.StableStore.Set(key, v)
	}
	if !s.pending {
		return errors.New("store vote: candidate without a term")
	}
	s.pending = false
	record := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(v)), s.term)
	return s.StableStore.Set([]byte(keyVote), append(record, v...))
}

// GetUint64 reads LastVoteTerm from the vote record.
func (s *voteStore) GetUint64(key []byte) (uint64, error) {
	if string(key) != keyLastVoteTerm {
		return s.StableStore.GetUint64(key)
	}
	b, err := s.vote()
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}

// Get reads LastVoteCand from the vote record.
func (s *voteStore) Get(key []byte) ([]byte, error) {
	if string(key) != keyLastVoteCand {
		return s.StableStore.Get(key)
	}
	b, err := s.vote()
	if err != nil {
		return nil, err
	}
	return b[8:], nil
}

// vote is the record. Its error for none is the one that Raft compares by text ("not found"), so it is not wrapped.
func (s *voteStore) vote() ([]byte, error) {
	b, err := s.StableStore.Get([]byte(keyVote))
	if errors.Is(err, raftlog.ErrKeyNotFound) {
		return nil, err
	} else if err != nil {
		return nil, fmt.Errorf("read vote: %w", err)
	}
	if len(b) < 8 {
		return nil, fmt.Errorf("read vote: record of %d octets", len(b))
	}
	return b, nil
}
