package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/cluster/raftlog"
)

const (
	retainSnapshots = 2
	logCacheEntries = 128
	deleteChunk     = 1000     // log entries deleted in one transaction, which holds up writes
	minSnapshotLog  = 64 << 20 // octets of log that are worth a snapshot, however small the state is
	diskPatience    = 2        // election timeouts that a leader's disk may stand still before another is to be elected
)

// stores is what Raft keeps on disk.
type stores struct {
	bolt      *raftlog.Log
	log       *logStore
	cached    *raft.LogCache
	stable    *stableStore
	snapshots *snapshotStore
}

// openStores opens the Raft log and the snapshots in dir, and refuses what is damaged. broken is called, once, with the first
// error of the disk.
func openStores(dir string, logger *slog.Logger, broken func(error)) (*stores, error) {
	path := filepath.Join(dir, logFile)
	open := raftlog.Open
	if hadLog(dir) {
		open = raftlog.Reopen
	}
	bolt, err := open(path)
	if err != nil {
		return nil, refuse(dir, err)
	}
	s := &stores{bolt: bolt}
	if err := s.open(dir, logger, broken); err != nil {
		return nil, errors.Join(refuse(dir, err), bolt.Close())
	}
	return s, nil
}

// hadLog tells whether the identity in dir says that the node had a log. An identity that cannot be read is for others to tell of.
func hadLog(dir string) bool {
	var id Identity
	b, err := os.ReadFile(filepath.Join(dir, identityFile))
	return err == nil && json.Unmarshal(b, &id) == nil && (id.HasLog || id.ClusterID != "")
}

// refusal is an error about damage that says what to do.
type refusal struct{ error }

// Unwrap is the damage.
func (r refusal) Unwrap() error { return r.error }

// refuse adds to an error about damage what to do, once.
func refuse(dir string, err error) error {
	if _, told := errors.AsType[refusal](err); told || !errors.Is(err, raftlog.ErrDamaged) {
		return err
	}
	return refusal{fmt.Errorf("%w. The node does not run with it. %s", err, wayOut(dir))}
}

func wayOut(dir string) string {
	return fmt.Sprintf("If the other nodes run, empty %q so that this one joins anew under a new id; if they do not, keep a copy and see docs/operations.md", dir)
}

// start makes a Raft of what the stores have. Raft panics on a log that it cannot read, and does not tell which file it was.
func (s *stores) start(dir string, begin func() (*raft.Raft, error)) (r *raft.Raft, err error) {
	defer func() {
		if p := recover(); p != nil && s.log.disk.told.Load() == nil {
			panic(p)
		} else if p != nil {
			err = *s.log.disk.told.Load()
		}
	}()
	r, err = begin()
	if err == nil {
		s.stable.started.Store(true)
		return r, nil
	}
	err = fmt.Errorf("start raft on %q: %w", dir, err)
	if damage := s.snapshots.failed.Load(); damage != nil {
		return nil, refuse(dir, fmt.Errorf("%w: %w", err, *damage))
	}
	if opened := s.snapshots.opened.Load(); opened != nil {
		err = fmt.Errorf("%w: snapshot file %q, for the reason told before. If it is damaged: %s", err, *opened, wayOut(dir))
	}
	return nil, err
}

func (s *stores) open(dir string, logger *slog.Logger, broken func(error)) error {
	disk := &disk{broken: broken, tell: func(err error) error {
		if errors.Is(err, raftlog.ErrDamaged) {
			err = refuse(dir, err)
			logger.Error("the node cannot go on", "error", err) // now: Raft may be about to panic
		}
		return err
	}}
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
	s.snapshots = &snapshotStore{SnapshotStore: files, dir: filepath.Join(dir, snapshotsDir), stores: s, logger: logger}
	newest, err := s.snapshots.verify()
	if err != nil {
		return err
	}
	if err := s.bolt.Require(newest.Index); err != nil {
		return err
	}
	s.log.noteSnapshot(newest.Index, newest.Term)
	if err := s.dropStale(newest.Index, newest.Term); err != nil { // a crash came between the snapshot and this
		return err
	}
	return s.beginReplay(newest.Index)
}

// hasState tells whether the node has a log or snapshot of its own.
func (s *stores) hasState() (bool, error) {
	has, err := raft.HasExistingState(s.cached, s.stable, s.snapshots)
	if err != nil {
		return false, fmt.Errorf("look for raft state: %w", err)
	}
	return has, nil
}

// beginReplay notes which part of the log will be replayed, so that its octets count as written since the newest snapshot,
// which is of the entry with the index.
func (s *stores) beginReplay(snapshot uint64) error {
	last, err := s.bolt.LastIndex()
	if err != nil {
		return fmt.Errorf("look for the log to replay: %w", err)
	}
	s.log.replayed.Store(snapshot + 1)
	s.log.last = last
	return nil
}

// snapshotDue tells whether the log has grown so much since the newest snapshot that it is time for another: by as many octets
// as that has, within bounds. So a node replays about as much as it restores, and writes about twice what the log has.
func (s *stores) snapshotDue(most int64) (bool, error) {
	grown := s.log.bytes.Load()
	if s.snapshots.damaged.Load() {
		return true, nil // memory has what the disk no longer has
	}
	if grown >= most || grown < minSnapshotLog {
		return grown >= most, nil
	}
	metas, err := s.snapshots.List()
	if err != nil {
		return false, fmt.Errorf("list snapshots: %w", err)
	}
	return len(metas) == 0 || grown >= metas[0].Size, nil
}

// logStore counts what is written to the log, and ends the node when the disk fails.
type logStore struct {
	raft.LogStore
	disk  *disk
	bytes atomic.Int64 // written since the newest snapshot was begun

	snapshot atomic.Pointer[raft.Log] // index and term of the newest snapshot's last entry; nil: none
	replayed atomic.Uint64            // the next entry whose replay is to be counted
	last     uint64                   // the newest entry at the start
}

// GetLog reads an entry. The first time that one from before the start is read, in order, it counts as written. One that is
// damaged ends the node: in some places Raft would go on without it, in others it panics, so the reason is told first.
func (s *logStore) GetLog(index uint64, l *raft.Log) error {
	if err := s.LogStore.GetLog(index, l); err != nil {
		if errors.Is(err, raftlog.ErrDamaged) {
			err = s.disk.fail(err)
		}
		if errors.Is(err, raft.ErrLogNotFound) && s.endsSnapshot(index) {
			*l = *s.snapshot.Load()
			return nil
		}
		return err
	}
	if index <= s.last && s.replayed.CompareAndSwap(index, index+1) {
		s.bytes.Add(int64(len(l.Data) + len(l.Extensions)))
	}
	return nil
}

// endsSnapshot tells whether the entry is not in the log because a snapshot that was installed ends with it. Raft knows its term
// while nothing is behind it, and forgets it then: a leader that has to send what is behind it once more was refused, went back
// through its whole log, sent the same snapshot again, and so on until it had a newer one. Whoever asks wants the term alone:
// the entry is not sent to others, because the one before it, which would have to match first, is not in the log either.
func (s *logStore) endsSnapshot(index uint64) bool {
	end := s.snapshot.Load()
	if end == nil || end.Index != index {
		return false
	}
	var before raft.Log
	return errors.Is(s.LogStore.GetLog(index-1, &before), raft.ErrLogNotFound)
}

// noteSnapshot notes the newest snapshot.
func (s *logStore) noteSnapshot(index, term uint64) {
	for end := s.snapshot.Load(); index > 0 && (end == nil || end.Index < index); end = s.snapshot.Load() {
		if s.snapshot.CompareAndSwap(end, &raft.Log{Index: index, Term: term}) { // one of the node's own may end meanwhile
			return
		}
	}
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

// DeleteRange deletes entries in transactions short enough not to hold up writes. A crash between two of them must leave no gap
// before what is kept: so the end of the log goes from its end, everything else from its beginning.
func (s *logStore) DeleteRange(first, last uint64) error {
	oldest, ferr := s.LogStore.FirstIndex()
	newest, lerr := s.LogStore.LastIndex()
	if err := errors.Join(ferr, lerr); err != nil || oldest == 0 {
		return err
	}
	first, last = max(first, oldest), min(last, newest) // Raft asks from 0 when there is no entry
	for fromEnd := first > oldest; first <= last; {
		begin, end := first, last
		if n := last - first + 1; n > deleteChunk && fromEnd {
			begin = last - deleteChunk + 1
		} else if n > deleteChunk {
			end = first + deleteChunk - 1
		}
		if err := s.disk.do("delete from raft log", func() error { return s.LogStore.DeleteRange(begin, end) }); err != nil {
			return err
		}
		if fromEnd {
			last = begin - 1
		} else {
			first = end + 1
		}
	}
	return nil
}

// stableStore ends the node when a term or vote cannot be written: Raft would go on with what it only remembers.
type stableStore struct {
	raft.StableStore
	disk    *disk
	started atomic.Bool // from now on Raft's main goroutine is the only one that writes
}

// Set writes a value.
func (s *stableStore) Set(key, v []byte) error {
	return s.disk.do("write raft vote", func() error { return s.StableStore.Set(key, v) })
}

// SetUint64 writes a number. When that fails for the term, Raft panics, in its main goroutine, where nobody can catch it. The node
// is about to end in an orderly way then, and has told why: so the goroutine ends here, with all that it has deferred.
func (s *stableStore) SetUint64(key []byte, v uint64) error {
	err := s.disk.do("write raft term", func() error { return s.StableStore.SetUint64(key, v) })
	if err != nil && string(key) == keyCurrentTerm && s.started.Load() {
		runtime.Goexit()
	}
	return err
}
