package cluster

import (
	"errors"
	"io"
	"os"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/cluster/raftlog"
)

// TestSnapshotThatNobodyMayOpenIsNotDamaged looks at a whole snapshot when the process has no file descriptor left: nobody must be
// told to empty the directory.
func TestSnapshotThatNobodyMayOpenIsNotDamaged(t *testing.T) {
	st := openTestStores(t, t.TempDir())
	_, tr := raft.NewInmemTransport("")
	sink, err := st.snapshots.Create(raft.SnapshotVersionMax, 5, 1, raft.Configuration{}, 1, tr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(sink, "state"); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := st.snapshots.names()
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	restore := exhaust(t)
	_, cerr := st.snapshots.check(names[0])
	_, _, oerr := st.snapshots.Open(sink.ID())
	restore()
	for what, err := range map[string]error{"look": cerr, "open": oerr} {
		if !errors.Is(err, syscall.EMFILE) || errors.Is(err, raftlog.ErrDamaged) {
			t.Errorf("%s: %v; want that there was no descriptor, and nothing about damage", what, err)
		}
	}
	if st.snapshots.damaged.Load() {
		t.Error("the snapshot counts as damaged")
	}
	if metas, err := st.snapshots.List(); len(metas) != 1 || err != nil {
		t.Errorf("afterwards: %v, %v", metas, err)
	}
}

// exhaust takes every file descriptor that the process may have, until it is told to give them back.
func exhaust(t *testing.T) (restore func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	few := before
	few.Cur = 128
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	var taken []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		taken = append(taken, f)
	}
	return func() {
		for _, f := range taken {
			_ = f.Close() // nothing was written
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Fatal(err)
		}
	}
}
