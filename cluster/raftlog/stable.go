package raftlog

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"
)

// Set stores a value. raft-boltdb, were the file given back to it, would find 8 octets more behind the value: a vote then
// names a candidate that nobody is, so that the vote is refused to whoever asks for it again in its term. That is safe.
func (l *Log) Set(key, value []byte) error {
	sealed := appendSeal(append(make([]byte, 0, len(value)+sealSize), value...), key)
	return l.update("write to", func(tx *bbolt.Tx, _ *extent) error { return tx.Bucket(bucketConf).Put(key, sealed) })
}

// Get is the value of a key; ErrKeyNotFound, not wrapped, if there is none.
func (l *Log) Get(key []byte) (value []byte, err error) {
	err = l.view(func(tx *bbolt.Tx) error {
		sealed := tx.Bucket(bucketConf).Get(key)
		if sealed == nil {
			return ErrKeyNotFound
		}
		v, err := openSeal(key, sealed)
		if err != nil {
			return l.damage("%s: %w", key, err)
		}
		value = append(make([]byte, 0, len(v)), v...)
		return nil
	})
	return value, err
}

// SetUint64 stores a number. raft-boltdb reads it.
func (l *Log) SetUint64(key []byte, n uint64) error {
	return l.Set(key, binary.BigEndian.AppendUint64(nil, n))
}

// GetUint64 is the number of a key; ErrKeyNotFound, not wrapped, if there is none.
func (l *Log) GetUint64(key []byte) (uint64, error) {
	b, err := l.Get(key)
	if err != nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, l.damage("%s: number of %d octets, want 8", key, len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

// SetSnapshot notes a snapshot, if it is the newest. That cannot be forgotten: a snapshot that is gone is noticed. One that was
// begun before a newer came from the leader may end after it.
func (l *Log) SetSnapshot(index, term uint64) error {
	noted, _, err := l.Snapshot()
	if err == nil && noted < index {
		err = l.Set(keySnapshot, binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, index), term))
	}
	if err != nil {
		return fmt.Errorf("note snapshot of entry %d: %w", index, err)
	}
	return nil
}

// Snapshot is the newest snapshot that was noted; 0: none.
func (l *Log) Snapshot() (index, term uint64, err error) {
	v, err := l.Get(keySnapshot)
	if err == ErrKeyNotFound {
		return 0, 0, nil
	} else if err != nil {
		return 0, 0, err
	}
	if len(v) != 16 {
		return 0, 0, l.damage("%s: %d octets, want 16", keySnapshot, len(v))
	}
	return binary.BigEndian.Uint64(v), binary.BigEndian.Uint64(v[8:]), nil
}
