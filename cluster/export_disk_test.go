package cluster

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"

	"github.com/hashicorp/raft"
)

// Rebuild has a state machine take what a stopped node's directory has: the newest snapshot and then the log behind it. It
// returns what else the directory has, in words: all of the log, and the term and vote.
func Rebuild(dir string, sm raft.FSM) (rest string, err error) {
	st, err := openStores(dir, slog.New(slog.DiscardHandler), func(error) {})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, st.bolt.Close()) }()
	metas, err := st.snapshots.List()
	if err != nil {
		return "", err
	}
	var snapshot uint64
	for _, m := range metas {
		var from io.ReadCloser
		if _, from, err = st.snapshots.Open(m.ID); err != nil {
			return "", err
		}
		if err := sm.Restore(from); err != nil {
			return "", err
		}
		snapshot = m.Index
		rest = fmt.Sprint(m.Configuration, m.ConfigurationIndex, m.Term)
	}
	first, ferr := st.bolt.FirstIndex()
	last, lerr := st.bolt.LastIndex()
	if err := errors.Join(ferr, lerr); err != nil {
		return "", err
	}
	hash := crc32.NewIEEE()
	for i := first; i <= last; i++ {
		var l raft.Log
		if err := st.log.GetLog(i, &l); err != nil {
			return "", err
		}
		fmt.Fprint(hash, l)
		if l.Type == raft.LogCommand && i > snapshot {
			sm.Apply(&l)
		}
	}
	term, terr := st.stable.GetUint64([]byte("CurrentTerm"))
	candidate, cerr := st.stable.Get([]byte(keyLastVoteCand))
	voted, verr := st.stable.GetUint64([]byte(keyLastVoteTerm))
	return fmt.Sprintf("%s, log %d to %d (%x), term %d, vote %q in %d", rest, first, last, hash.Sum(nil), term, candidate, voted), errors.Join(terr, cerr, verr)
}

// OpenDisk opens and closes the stores in a directory.
func OpenDisk(dir string, logger *slog.Logger) error {
	st, err := openStores(dir, logger, func(error) {})
	if err != nil {
		return err
	}
	return st.bolt.Close()
}
