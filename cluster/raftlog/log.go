package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

var (
	// ErrDamaged is wrapped by every error that says that the file is not what was written to it.
	ErrDamaged = errors.New("damaged")
	// ErrKeyNotFound says that the stable store has no such key. Raft compares its text.
	ErrKeyNotFound = errors.New("not found")
	// ErrInUse says that another process has the file open.
	ErrInUse = errors.New("another process has it open")
)

const lockTimeout = time.Second

// The buckets, and the keys of bucket conf that are the log's own.
var (
	bucketLogs  = []byte("logs")
	bucketConf  = []byte("conf")
	keyExtent   = []byte("Extent")
	keySnapshot = []byte("Snapshot")
)

// Log is a raft.LogStore and a raft.StableStore in one file.
type Log struct {
	db   *bbolt.DB
	path string

	mu     sync.Mutex // writes
	extent atomic.Pointer[extent]
	whole  uint64        // at the start no entry was missing from here to the last
	floor  atomic.Uint64 // every entry behind it, up to the last, must be there
	wedged atomic.Bool   // bbolt panicked in a transaction that writes: it can no longer be closed
}

var (
	_ raft.LogStore    = (*Log)(nil)
	_ raft.StableStore = (*Log)(nil)
)

// Open opens the file at a path, or makes it if there is none or if nothing was ever written to it, after it was inspected.
func Open(path string) (*Log, error) { return open(path, false) }

// Reopen is Open for a log that is known to have been there: one to which nothing was ever written is damaged.
func Reopen(path string) (*Log, error) { return open(path, true) }

func open(path string, known bool) (*Log, error) {
	found, err := inspectFile(path)
	if err == nil && known && found.created {
		err = damage(path, "it is empty, and was not")
	}
	if err != nil {
		return nil, err
	}
	l := &Log{path: path, whole: found.whole}
	l.floor.Store(math.MaxUint64)
	l.extent.Store(&found.extent)
	if err := l.open(false); err != nil {
		return nil, err
	}
	if err := l.begin(found); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// open opens the file with bbolt, which locks it.
func (l *Log) open(readOnly bool) error {
	var file *os.File
	o := &bbolt.Options{ReadOnly: readOnly, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, Timeout: lockTimeout}
	o.OpenFile = func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
		file, err = os.OpenFile(name, flag, mode)
		return file, err
	}
	err := l.guard(func() (err error) {
		l.db, err = bbolt.Open(l.path, 0o600, o)
		return err
	})
	if errors.Is(err, ErrDamaged) && file != nil {
		return errors.Join(err, file.Close()) // bbolt panicked and left it open, and locked
	} else if errors.Is(err, bbolterrors.ErrTimeout) {
		return fmt.Errorf("open raft log %q: %w: %w", l.path, ErrInUse, err)
	} else if err != nil {
		return blame(l.path, err)
	}
	return nil
}

// begin makes the buckets in a new file, and reads the ends of the log in an old one.
func (l *Log) begin(found found) error {
	if found.created {
		return l.update("make", func(tx *bbolt.Tx, _ *extent) error {
			_, err := tx.CreateBucketIfNotExists(bucketLogs)
			return err
		})
	}
	var ends [2]raft.Log
	for i, index := range []uint64{found.extent.first, found.extent.last} {
		if index == 0 {
			return nil
		}
		if err := l.GetLog(index, &ends[i]); err != nil {
			return err
		}
	}
	term, err := l.GetUint64([]byte("CurrentTerm"))
	if err != nil && !errors.Is(err, ErrKeyNotFound) {
		return err
	}
	if ends[0].Term > ends[1].Term || ends[1].Term > term {
		return l.damage("first entry is of term %d, last entry of term %d, current term %d", ends[0].Term, ends[1].Term, term)
	}
	return nil
}

// Close closes the file.
func (l *Log) Close() error {
	if l.db == nil || l.wedged.Load() {
		return nil // only the end of the process closes it
	}
	return l.db.Close()
}

// Path is where the file is.
func (l *Log) Path() string { return l.path }

// FirstIndex is the index of the oldest entry; 0: there is none.
func (l *Log) FirstIndex() (uint64, error) { return l.extent.Load().first, nil }

// LastIndex is the index of the newest entry; 0: there is none.
func (l *Log) LastIndex() (uint64, error) { return l.extent.Load().last, nil }

// Require says, once, before the log is used, that every entry behind an index is wanted, and is an error if one is missing.
// From then on one that is missing is damage, no longer raft.ErrLogNotFound. Before the index, which is that of the newest
// snapshot, a log may have gaps: Raft leaves one when it installs a snapshot.
func (l *Log) Require(floor uint64) error {
	if e := l.extent.Load(); e.last > floor && l.whole > floor+1 {
		return l.damage("entries before %d are missing: the newest snapshot is of entry %d", l.whole, floor)
	}
	l.floor.Store(floor)
	return nil
}

// Advance says that there is a newer snapshot, of the entry with the index.
func (l *Log) Advance(floor uint64) {
	for old := l.floor.Load(); old < floor && !l.floor.CompareAndSwap(old, floor); old = l.floor.Load() {
	}
}

// GetLog reads and verifies an entry.
func (l *Log) GetLog(index uint64, into *raft.Log) error {
	err := l.view(func(tx *bbolt.Tx) error {
		value := tx.Bucket(bucketLogs).Get(indexKey(index))
		if value == nil {
			return raft.ErrLogNotFound
		}
		if err := decodeEntry(index, value, into); err != nil {
			return l.damage("entry %d: %w", index, err)
		}
		return nil
	})
	if e := l.extent.Load(); err == raft.ErrLogNotFound && index > l.floor.Load() && index >= e.first && index <= e.last {
		return l.missing(index)
	}
	return err
}

// missing looks once more for an entry that was not found, while nobody writes: it may have been deleted, or replaced.
func (l *Log) missing(index uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.view(func(tx *bbolt.Tx) error {
		if e := l.extent.Load(); tx.Bucket(bucketLogs).Get(indexKey(index)) == nil && index >= e.first && index <= e.last {
			return l.damage("entry %d is missing: the log has %d to %d", index, e.first, e.last)
		}
		return raft.ErrLogNotFound
	})
}

// StoreLog stores one entry.
func (l *Log) StoreLog(entry *raft.Log) error { return l.StoreLogs([]*raft.Log{entry}) }

// StoreLogs stores entries in one transaction.
func (l *Log) StoreLogs(entries []*raft.Log) error {
	return l.update("append to", func(tx *bbolt.Tx, e *extent) error {
		b := tx.Bucket(bucketLogs)
		for _, entry := range entries {
			value, err := encodeEntry(entry)
			if err != nil {
				return err
			}
			if err := b.Put(indexKey(entry.Index), value); err != nil {
				return err
			}
			if e.first == 0 || entry.Index < e.first {
				e.first = entry.Index
			}
			e.last = max(e.last, entry.Index)
		}
		return l.compare(b, e)
	})
}

// DeleteRange deletes the entries from first to last.
func (l *Log) DeleteRange(first, last uint64) error {
	return l.update("delete from", func(tx *bbolt.Tx, e *extent) error {
		b := tx.Bucket(bucketLogs)
		c := b.Cursor()
		for k, _ := c.Seek(indexKey(first)); k != nil && binary.BigEndian.Uint64(k) <= last; k, _ = c.Next() {
			if err := c.Delete(); err != nil {
				return err
			}
		}
		head, tail := ends(b)
		if first > e.first {
			head = e.first // where it was
		}
		if last < e.last {
			tail = e.last
		}
		e.first, e.last = head, tail
		return l.compare(b, e)
	})
}

// ends are the first and the last index in the bucket.
func ends(b *bbolt.Bucket) (first, last uint64) {
	c := b.Cursor()
	if k, _ := c.First(); k != nil {
		first = binary.BigEndian.Uint64(k)
		k, _ = c.Last()
		last = binary.BigEndian.Uint64(k)
	}
	return first, last
}

// compare tells whether the log begins and ends where it should: bbolt writes anew what it has read, and believes it.
func (l *Log) compare(b *bbolt.Bucket, want *extent) error {
	if first, last := ends(b); first != want.first || last != want.last {
		return l.damage("the log would be entries %d to %d, want %d to %d", first, last, want.first, want.last)
	}
	return nil
}

// damage is an error about what the file has.
func (l *Log) damage(format string, args ...any) error { return damage(l.path, format, args...) }

func damage(path, format string, args ...any) error {
	return fmt.Errorf("raft log %q is %w: %w", path, ErrDamaged, fmt.Errorf(format, args...))
}

// view reads in a transaction.
func (l *Log) view(read func(*bbolt.Tx) error) error {
	return l.guard(func() error { return l.db.View(read) })
}

// update writes in a transaction, and with it the extent of the log as write leaves it.
func (l *Log) update(what string, write func(*bbolt.Tx, *extent) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	after := *l.extent.Load()
	finished := false
	err := l.guard(func() error {
		defer func() { l.wedged.CompareAndSwap(false, !finished) }()
		err := l.db.Update(func(tx *bbolt.Tx) error {
			after.tx = uint64(tx.ID())
			conf, err := tx.CreateBucketIfNotExists(bucketConf)
			if err != nil {
				return err
			}
			if err := write(tx, &after); err != nil {
				return err
			}
			return conf.Put(keyExtent, appendSeal(after.append(nil), keyExtent))
		})
		finished = true
		return err
	})
	switch {
	case err == nil:
		l.extent.Store(&after)
		return nil
	case errors.Is(err, ErrDamaged):
		return err
	}
	return fmt.Errorf("%s raft log %q: %w", what, l.path, err)
}

// guard makes errors of bbolt's panics, and of reads through its map that the disk fails.
func (l *Log) guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = l.damage("%v", r)
		}
	}()
	return do()
}
