package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// Inspection is what a stopped node has on disk.
type Inspection struct {
	NodeID        string
	ClusterID     string   // empty for a node that never was in a cluster
	Term          uint64   // the newest term that the node has heard of
	LastIndex     uint64   // the newest entry that it has, committed or not
	LastTerm      uint64   // the term of that entry
	SnapshotIndex uint64   // the newest snapshot; 0: none
	Members       []Member // the newest membership that it knows of, committed or not, sorted by name, then id
	MembersIndex  uint64   // the entry of that membership
	BrokenOff     bool     // whether a recovery was begun here and not ended
	Diverged      bool     // whether the node took itself out because its state was wrong: it cannot be recovered from
}

// Inspect reads what a stopped node has in its data directory, and changes nothing but what the next start would change too:
// snapshots that were broken off go, and so does what a snapshot has replaced of the log. It is an error while the node runs.
func Inspect(dir string, logger *slog.Logger) (_ Inspection, err error) {
	id, st, err := openStopped(dir, logger)
	if err != nil {
		return Inspection{}, err
	}
	defer func() { err = errors.Join(err, st.bolt.Close()) }()
	i, err := inspect(id, st)
	if err != nil {
		return Inspection{}, fmt.Errorf("inspect %q: %w", dir, err)
	}
	i.Diverged = sound(dir) != nil
	plan, err := readPlan(dir)
	i.BrokenOff = plan != nil
	return i, err
}

// openStopped opens the stores of a node that does not run. It makes none where there are none.
func openStopped(dir string, logger *slog.Logger) (Identity, *stores, error) {
	id, err := readIdentity(dir)
	if err != nil {
		return Identity{}, nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, logFile)); errors.Is(err, fs.ErrNotExist) {
		return Identity{}, nil, fmt.Errorf("%q has no %s: this node has nothing to recover from", dir, logFile)
	} else if err != nil {
		return Identity{}, nil, fmt.Errorf("look for raft log: %w", err)
	}
	st, err := openStores(dir, logger, func(error) {}) // whoever writes gets the error too
	if err != nil {
		return Identity{}, nil, fmt.Errorf("%w: is the node stopped?", err)
	}
	return id, st, nil
}

// inspect reads what the stores have.
func inspect(id Identity, st *stores) (i Inspection, err error) {
	i = Inspection{NodeID: id.NodeID, ClusterID: id.ClusterID}
	if i.Term, err = st.stable.GetUint64([]byte("CurrentTerm")); err != nil && err.Error() != "not found" { // as Raft itself tells it
		return i, fmt.Errorf("read term: %w", err)
	}
	var servers []raft.Server
	metas, err := st.snapshots.List()
	if err != nil {
		return i, fmt.Errorf("list snapshots: %w", err)
	}
	if len(metas) > 0 {
		m := metas[0]
		i.SnapshotIndex, i.LastIndex, i.LastTerm = m.Index, m.Index, m.Term
		servers, i.MembersIndex = m.Configuration.Servers, m.ConfigurationIndex
	}
	first, ferr := st.log.FirstIndex()
	last, lerr := st.log.LastIndex()
	if err := errors.Join(ferr, lerr); err != nil {
		return i, fmt.Errorf("read raft log: %w", err)
	}
	var entry raft.Log
	for index := max(first, i.SnapshotIndex+1); first > 0 && index <= last; index++ {
		if err := st.log.GetLog(index, &entry); err != nil {
			return i, fmt.Errorf("read entry %d of the raft log: %w", index, err)
		}
		i.LastIndex, i.LastTerm = entry.Index, entry.Term
		if entry.Type == raft.LogConfiguration {
			servers, i.MembersIndex = raft.DecodeConfiguration(entry.Data).Servers, entry.Index
		}
	}
	i.Members = offlineMembers(servers)
	return i, nil
}

// offlineMembers is a membership of which nothing but the log tells.
func offlineMembers(servers []raft.Server) []Member {
	out := make([]Member, len(servers))
	for i, s := range servers {
		p := placeOf(s.Address)
		out[i] = Member{ID: string(s.ID), Name: p.name, RaftAddress: p.raft, GRPCAddress: p.grpc, Voter: s.Suffrage == raft.Voter}
	}
	sortMembers(out)
	return out
}
