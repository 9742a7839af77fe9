package raftlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// found is what an inspection found.
type found struct {
	created bool // there was no file, or none that anything was written to
	extent  extent
	whole   uint64 // from here to the last no entry is missing
}

// inspectFile reads the structure of the file while nobody writes to it, and changes nothing.
func inspectFile(path string) (f found, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && info.Size() == 0) {
		return found{created: true}, nil
	} else if err != nil {
		return found{}, fmt.Errorf("open raft log: %w", err)
	}
	if info.Size() < 2*minPage { // bbolt maps two pages at the least
		return found{}, damage(path, "it has %d octets: it was cut off", info.Size())
	}
	l := &Log{path: path}
	if err := l.open(true); err != nil { // for the lock
		return found{}, err
	}
	defer func() { err = errors.Join(err, l.db.Close()) }()
	file, err := os.Open(path)
	if err != nil {
		return found{}, fmt.Errorf("open raft log: %w", err)
	}
	defer file.Close()
	m, err := readMeta(file, l.db.Info().PageSize)
	// Also pages that are free must be there: bbolt maps as much as the file has, and looks for them behind that.
	if want := int64(m.end * m.pageSize); err == nil && info.Size() < want {
		err = fmt.Errorf("it has %d octets, want at least %d: it was cut off", info.Size(), want)
	}
	if err == nil {
		f, err = inspectPages(file, m)
	}
	if err != nil {
		return found{}, blame(path, err)
	}
	return f, nil
}

// blame takes an error of the operating system as what it is, also one that bbolt hands on bare (no memory to map the file, no
// locks on a network file system), and every other for one about what the file has.
func blame(path string, err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("open raft log: %w", pe)
	}
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return fmt.Errorf("open raft log %q: %w", path, err)
	}
	if errors.Is(err, ErrDamaged) {
		return err
	}
	return damage(path, "%w", err)
}

// inspectPages reads both buckets and compares what they say.
func inspectPages(file *os.File, m meta) (found, error) {
	t := &tree{file: file, meta: m}
	root, err := t.page(m.root)
	if err != nil {
		return found{}, fmt.Errorf("root: %w", err)
	}
	buckets, err := root.values()
	if err != nil {
		return found{}, fmt.Errorf("root: %w", err)
	}
	if len(buckets) == 0 && m.tx == firstTx { // killed before it was written to
		return found{created: true}, nil
	}
	if len(buckets) != 2 || buckets[0].key != string(bucketConf) || buckets[1].key != string(bucketLogs) || !buckets[0].bucket || !buckets[1].bucket {
		return found{}, errors.New("root: it has not just the two buckets of a Raft log")
	}
	conf := conf{values: map[string][]byte{}}
	err = t.walk(buckets[0].value, conf.add)
	if err != nil {
		return found{}, fmt.Errorf("bucket conf: %w", err)
	}
	var is run
	if err := t.walk(buckets[1].value, is.add); err != nil {
		return found{}, fmt.Errorf("bucket logs: %w", err)
	}
	f := found{extent: extent{tx: m.tx, first: is.first, last: is.last}, whole: is.whole}
	record, ok := conf.values[string(keyExtent)]
	if !ok {
		return f, nil // of a node that never had seals
	}
	want, err := parseExtent(record)
	if err != nil {
		return found{}, err
	}
	foreign, err := is.endsUnsealed()
	if err != nil {
		return found{}, err
	}
	return f, f.extent.compare(want, m.empty || conf.unsealed || foreign)
}

// conf is what bucket conf has.
type conf struct {
	values   map[string][]byte
	unsealed bool // the term or the vote was written by another program
}

// add reads the values of a leaf. A key that is not known is a damaged one: its value would be missed. So would a value that is
// said to be a bucket, and the node would forget its vote.
func (c *conf) add(p *page) error {
	values, err := p.values()
	for _, v := range values {
		if v.bucket {
			return fmt.Errorf("%q is a bucket, want a value", v.key)
		}
		switch v.key {
		case "CurrentTerm", "LastVoteTerm", "LastVoteCand", "Vote", string(keyExtent), string(keySnapshot):
		default:
			return fmt.Errorf("unknown key %q", v.key)
		}
		if c.values[v.key], err = openSeal([]byte(v.key), v.value); err != nil {
			return fmt.Errorf("%s: %w", v.key, err)
		}
		c.unsealed = c.unsealed || len(c.values[v.key]) == len(v.value)
	}
	return err
}
