package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/cluster/raftlog"
)

// The files of a snapshot: Raft's two, and ours.
const (
	stateFile    = "state.bin"
	metaFile     = "meta.json"
	metaSealFile = "meta.crc"
	unfinished   = ".tmp" // what the name of a snapshot ends with while it is written
)

// snapshotStore is Raft's store of snapshots in files, with three things mended. Raft verifies the state against a checksum in
// meta.json, but believes meta.json itself: so there is a checksum of that too, in meta.crc, which snapshots of the first
// version lack. Raft takes an older snapshot for a newest one that is damaged, though the log reaches back to the newest only:
// so the newest is all that Raft is shown, and it is whole or the node does not start. And what a full disk breaks off is
// removed.
type snapshotStore struct {
	raft.SnapshotStore
	dir     string
	stores  *stores
	logger  *slog.Logger
	damaged atomic.Bool           // the newest, since the node began: it takes another
	failed  atomic.Pointer[error] // the newest damage
	opened  atomic.Pointer[string]
	ending  atomic.Bool // the node stops, and waits for no snapshot
}

var errStopping = errors.New("the node is stopping")

// name is the name of a snapshot's directory: "term-index-milliseconds".
type name struct {
	term, index, time uint64
	text              string
}

func parseName(text string) (n name, ok bool) {
	n.text = text
	if _, err := fmt.Sscanf(text, "%d-%d-%d", &n.term, &n.index, &n.time); err != nil {
		return name{}, false
	}
	return n, text == fmt.Sprintf("%d-%d-%d", n.term, n.index, n.time)
}

// names are the finished snapshots, the newest first.
func (s *snapshotStore) names() ([]name, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var out []name
	for _, e := range entries {
		if n, ok := parseName(e.Name()); ok && e.IsDir() {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b name) int {
		return -slices.Compare([]uint64{a.term, a.index, a.time}, []uint64{b.term, b.index, b.time})
	})
	return out, nil
}

// verify looks at all snapshots before the node uses them, and returns the newest; zero if there is none. The state itself is
// verified when it is restored.
func (s *snapshotStore) verify() (raft.SnapshotMeta, error) {
	noted, _, err := s.stores.bolt.Snapshot()
	if err != nil {
		return raft.SnapshotMeta{}, err
	}
	names, err := s.names()
	if err != nil {
		return raft.SnapshotMeta{}, err
	}
	var newest raft.SnapshotMeta
	for i, n := range names {
		meta, err := s.check(n)
		switch {
		case i == 0 && err != nil:
			return raft.SnapshotMeta{}, err
		case i == 0:
			newest = meta
		case err != nil:
			s.logger.Warn("an older snapshot, which is not needed and may be removed, is of no use", "error", err)
		}
	}
	if newest.Index < noted {
		return raft.SnapshotMeta{}, fmt.Errorf("snapshots in %q are %w: the newest is of entry %d, and one of entry %d was there", s.dir, raftlog.ErrDamaged, newest.Index, noted)
	}
	return newest, nil
}

// check reads what a snapshot says of itself, and verifies that against its name, its checksum and the size of its state.
func (s *snapshotStore) check(n name) (raft.SnapshotMeta, error) {
	dir := filepath.Join(s.dir, n.text)
	bad := func(file, format string, args ...any) (raft.SnapshotMeta, error) {
		if err := fmt.Errorf(format, args...); ofTheNode(err) {
			return raft.SnapshotMeta{}, fmt.Errorf("read snapshot file %q: %w", filepath.Join(dir, file), err)
		}
		return raft.SnapshotMeta{}, fmt.Errorf("snapshot file %q is %w: %w", filepath.Join(dir, file), raftlog.ErrDamaged, fmt.Errorf(format, args...))
	}
	b, err := os.ReadFile(filepath.Join(dir, metaFile))
	if err != nil {
		return bad(metaFile, "%w", err)
	}
	var meta raft.SnapshotMeta
	if err := json.Unmarshal(b, &meta); err != nil {
		return bad(metaFile, "%w", err)
	}
	if meta.ID != n.text || meta.Index != n.index || meta.Term != n.term || meta.Version != raft.SnapshotVersionMax {
		return bad(metaFile, "it is of snapshot %s, entry %d, term %d, version %d", meta.ID, meta.Index, meta.Term, meta.Version)
	}
	switch seal, err := os.ReadFile(filepath.Join(dir, metaSealFile)); {
	case errors.Is(err, os.ErrNotExist): // of the first version
	case err != nil:
		return bad(metaSealFile, "%w", err)
	case string(seal) != metaSeal(meta):
		return bad(metaFile, "checksum does not fit that in %s", metaSealFile)
	}
	info, err := os.Stat(filepath.Join(dir, stateFile))
	if err != nil {
		return bad(stateFile, "%w", err)
	}
	if info.Size() != meta.Size {
		return bad(stateFile, "it has %d octets, want %d", info.Size(), meta.Size)
	}
	return meta, nil
}

// ofTheNode tells whether a file could not be read for a reason that says nothing about what it has.
func ofTheNode(err error) bool {
	for _, reason := range []error{fs.ErrPermission, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

// metaSeal is the checksum of what is known of a snapshot when it is begun. The rest of meta.json is the size of the state and
// its checksum, which verify each other.
func metaSeal(m raft.SnapshotMeta) string {
	m.Size = 0
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // numbers and text only
	}
	return fmt.Sprintf("%08x\n", crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// List is the newest snapshot, if it is whole.
func (s *snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	names, err := s.names()
	if err != nil || len(names) == 0 {
		return nil, err
	}
	meta, err := s.check(names[0])
	if errors.Is(err, raftlog.ErrDamaged) {
		return nil, s.fail(err)
	} else if err != nil {
		return nil, err
	}
	return []*raft.SnapshotMeta{&meta}, nil
}

// fail notes that the newest snapshot is damaged. A node that runs needs it no longer: it takes another. One that starts does
// not get far.
func (s *snapshotStore) fail(err error) error {
	s.failed.Store(&err)
	s.damaged.Store(true)
	return err
}

// Open verifies the state of a snapshot against its checksum and opens it.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	path := filepath.Join(s.dir, id, stateFile)
	meta, r, err := s.SnapshotStore.Open(id)
	if ofTheNode(err) {
		return nil, nil, fmt.Errorf("read snapshot file %q: %w", path, err)
	} else if err != nil {
		return nil, nil, s.fail(fmt.Errorf("snapshot file %q is %w, or its checksum in %q is: %w", path, raftlog.ErrDamaged, filepath.Join(s.dir, id, metaFile), err))
	}
	s.opened.Store(&path)
	return meta, r, nil
}

// Create begins a snapshot, and with it the count of octets of log anew, whoever asked for it.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, c raft.Configuration, cIndex uint64, tr raft.Transport) (raft.SnapshotSink, error) {
	s.stores.log.bytes.Store(0)
	sink, err := s.SnapshotStore.Create(version, index, term, c, cIndex, tr)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("begin snapshot in %q: %w", s.dir, err), s.remove(fmt.Sprintf("%d-%d-", term, index)))
	}
	dir := filepath.Join(s.dir, sink.ID()+unfinished)
	if err := s.seal(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("begin snapshot in %q: %w", s.dir, err), sink.Cancel(), s.remove(sink.ID()))
	}
	return &snapshotSink{SnapshotSink: sink, store: s, index: index, term: term}, nil
}

// seal writes the checksum of meta.json beside it.
func (s *snapshotStore) seal(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, metaFile))
	if err != nil {
		return err
	}
	var meta raft.SnapshotMeta
	if err := json.Unmarshal(b, &meta); err != nil {
		return err
	}
	return replaceFile(filepath.Join(dir, metaSealFile), []byte(metaSeal(meta)))
}

// remove removes unfinished snapshots whose names begin so.
func (s *snapshotStore) remove(prefix string) error {
	paths, err := filepath.Glob(filepath.Join(s.dir, prefix+"*"+unfinished))
	for _, p := range paths {
		err = errors.Join(err, os.RemoveAll(p))
	}
	return err
}

// snapshotSink is a snapshot that is being written.
type snapshotSink struct {
	raft.SnapshotSink
	store       *snapshotStore
	index, term uint64
	closed      bool
}

// Write writes, unless the node stops: then the snapshot is broken off.
func (s *snapshotSink) Write(b []byte) (int, error) {
	if s.store.ending.Load() {
		return 0, errStopping
	}
	return s.SnapshotSink.Write(b)
}

// Close ends a whole snapshot, and notes that there is one. The second time, which is Raft's, it does nothing.
func (s *snapshotSink) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	if err := s.SnapshotSink.Close(); err != nil {
		return errors.Join(fmt.Errorf("finish snapshot in %q: %w", s.store.dir, err), s.store.remove(s.ID()))
	}
	s.store.damaged.Store(false)
	st := s.store.stores
	st.bolt.Advance(s.index)
	st.log.noteSnapshot(s.index, s.term)
	if err := st.log.disk.do("note snapshot", func() error { return st.bolt.SetSnapshot(s.index, s.term) }); err != nil {
		return err
	}
	return st.dropStale(s.index, s.term)
}

// Cancel gives a snapshot up. What is left of it goes, also when the disk is too full to say so.
func (s *snapshotSink) Cancel() error {
	err := s.SnapshotSink.Cancel()
	return errors.Join(err, s.store.remove(s.ID()))
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
		if !strings.HasSuffix(e.Name(), unfinished) {
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
