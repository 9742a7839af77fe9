package cluster

import (
	"errors"
	"log/slog"
	"testing"
)

// BreakDisk closes the log under the node, so that its next write fails like that of a broken disk.
func (n *Node) BreakDisk() error { return n.stores.bolt.Close() }

// BreakOffRecovery does a recovery up to where Raft's files have been rewritten and the identity has not.
func BreakOffRecovery(t testing.TB, r Recovery) {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	id, st, err := openStopped(r.DataDir, logger)
	if err != nil {
		t.Fatal(err)
	}
	p, err := begin(t.Context(), r, id, st)
	if err == nil {
		_, err = rewrite(p, st, logger)
	}
	if err := errors.Join(err, st.bolt.Close()); err != nil {
		t.Fatal(err)
	}
}
