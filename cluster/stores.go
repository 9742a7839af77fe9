package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

const (
	retainSnapshots = 2
	logCacheEntries = 128
	deleteChunk     = 1000 // log entries deleted in one transaction, which holds up writes
	lockTimeout     = time.Second
	minSnapshotLog  = 64 << 20 // octets of log that are worth a snapshot, however small the state is
)

// stores is what Raft keeps on disk.
type stores struct {
	bolt      *raftboltdb.BoltStore
	log       *logStore
	cached    *raft.LogCache
	stable    raft.StableStore
	snapshots *snapshotStore
}

// openStores opens the Raft log and the snapshots in dir. broken is called, once, with the first error of the disk.
func openStores(dir string, logger *slog.Logger, broken func(error)) (*stores, error) {
	path := filepath.Join(dir, logFile)
	bolt, err := raftboltdb.New(raftboltdb.Options{
		Path:                    path,
		BoltOptions:             &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, Timeout: lockTimeout},
		MsgpackUseNewTimeFormat: true,
	})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, fmt.Errorf("open raft log %q: another process has it open: %w", path, err)
	} else if err != nil {
		return nil, fmt.Errorf("open raft log %q: %w", path, err)
	}
	s := &stores{bolt: bolt}
	if err := s.open(dir, logger, broken); err != nil {
		return nil, errors.Join(err, bolt.Close())
	}
	return s, nil
}

func (s *stores) open(dir string, logger *slog.Logger, broken func(error)) error {
	disk := &disk{broken: broken}
	s.log = &logStore{LogStore: s.bolt, disk: disk}
	s.stable = &stableStore{StableStore: &voteStore{StableStore: s.bolt}, disk: disk}
	var err error
	if s.cached, err = raft.NewLogCache(logCacheEntries, s.log); err != nil {
		return fmt.Errorf("make log cache: %w", err)
	}
	if err := removeUnfinished(filepath.Join(dir, snapshotsDir), logger); err != nil {
		return err
	}
	files, err := raft.NewFileSnapshotStoreWithLogger(dir, retainSnapshots, raftLogger(logger))
	if err != nil {
		return fmt.Errorf("open snapshots in %q: %w", dir, err)
	}
	s.snapshots = &snapshotStore{SnapshotStore: files, log: s.log}
	return s.beginReplay()
}

// hasState tells whether the node has a log or snapshot of its own.
func (s *stores) hasState() (bool, error) {
	has, err := raft.HasExistingState(s.cached, s.stable, s.snapshots)
	if err != nil {
		return false, fmt.Errorf("look for raft state: %w", err)
	}
	return has, nil
}

// beginReplay notes which part of the log will be replayed, so that its octets count as written since the newest snapshot.
func (s *stores) beginReplay() error {
	first, ferr := s.bolt.FirstIndex()
	last, lerr := s.bolt.LastIndex()
	metas, serr := s.snapshots.List()
	if err := errors.Join(ferr, lerr, serr); err != nil {
		return fmt.Errorf("look for the log to replay: %w", err)
	}
	if len(metas) > 0 {
		first = metas[0].Index + 1
	}
	s.log.replayed.Store(first)
	s.log.last = last
	return nil
}

// snapshotDue tells whether the log has grown so much since the newest snapshot that it is time for another: by as many octets
// as that has, within bounds. So a node replays about as much as it restores, and writes about twice what the log has.
func (s *stores) snapshotDue(most int64) (bool, error) {
	grown := s.log.bytes.Load()
	if grown >= most || grown < minSnapshotLog {
		return grown >= most, nil
	}
	metas, err := s.snapshots.List()
	if err != nil {
		return false, fmt.Errorf("list snapshots: %w", err)
	}
	return len(metas) == 0 || grown >= metas[0].Size, nil
}

// removeUnfinished removes the snapshots that a crash broke off; Raft never does.
func removeUnfinished(dir string, logger *slog.Logger) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("look for unfinished snapshots: %w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".tmp") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove unfinished snapshot: %w", err)
		}
		logger.Info("removed unfinished snapshot", "path", path)
	}
	return nil
}

// disk remembers the first error of the log's disk. After it nothing more is written: Raft's idea of its log may differ from
// what the disk has, and only a restart makes them one again.
type disk struct {
	failed atomic.Pointer[error]
	broken func(error)
}

// do runs a write unless one has failed before.
func (d *disk) do(what string, write func() error) error {
	if err := d.failed.Load(); err != nil {
		return *err
	}
	err := write()
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", what, err)
	if d.failed.CompareAndSwap(nil, &err) {
		d.broken(err)
	}
	return err
}

// logStore counts what is written to the log, and ends the node when the disk fails.
type logStore struct {
	raft.LogStore
	disk  *disk
	bytes atomic.Int64 // written since the newest snapshot was begun

	replayed atomic.Uint64 // the next entry whose replay is to be counted
	last     uint64        // the newest entry at the start
}

// GetLog reads an entry. The first time that one from before the start is read, in order, it counts as written.
func (s *logStore) GetLog(index uint64, l *raft.Log) error {
	if err := s.LogStore.GetLog(index, l); err != nil {
		return err
	}
	if index <= s.last && s.replayed.CompareAndSwap(index, index+1) {
		s.bytes.Add(int64(len(l.Data) + len(l.Extensions)))
	}
	return nil
}

// StoreLog stores one entry.
func (s *logStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs stores entries in one transaction.
func (s *logStore) StoreLogs(logs []*raft.Log) error {
	n := 0
	for _, l := range logs {
		n += len(l.Data) + len(l.Extensions)
	}
	s.bytes.Add(int64(n))
	return s.disk.do("write raft log", func() error { return s.LogStore.StoreLogs(logs) })
}

// DeleteRange deletes entries in transactions short enough not to hold up writes.
func (s *logStore) DeleteRange(first, last uint64) error {
	for ; first <= last; first += deleteChunk {
		end := min(last, first+deleteChunk-1)
		if err := s.disk.do("compact raft log", func() error { return s.LogStore.DeleteRange(first, end) }); err != nil {
			return err
		}
	}
	return nil
}

// snapshotStore begins the count of octets of log anew with each snapshot, whoever asked for it.
type snapshotStore struct {
	raft.SnapshotStore
	log *logStore
}

// Create begins a snapshot.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, c raft.Configuration, cIndex uint64, tr raft.Transport) (raft.SnapshotSink, error) {
	s.log.bytes.Store(0)
	return s.SnapshotStore.Create(version, index, term, c, cIndex, tr)
}

// stableStore ends the node when a term or vote cannot be written: Raft would go on with what it only remembers.
type stableStore struct {
	raft.StableStore
	disk *disk
}

// Set writes a value.
func (s *stableStore) Set(key, v []byte) error {
	return s.disk.do("write raft vote", func() error { return s.StableStore.Set(key, v) })
}

// SetUint64 writes a number.
func (s *stableStore) SetUint64(key []byte, v uint64) error {
	return s.disk.do("write raft term", func() error { return s.StableStore.SetUint64(key, v) })
}
