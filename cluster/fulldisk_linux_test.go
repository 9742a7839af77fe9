package cluster_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
)

// lines is a log that can be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), what)
}

// TestSnapshotOnFullDisk gives a follower's snapshots a disk that is too small for one. The node says so and goes on, and what
// it has begun does not stay. When there is space, there is a snapshot.
func TestSnapshotOnFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("file systems can be mounted only by root")
	}
	var told lines
	small := 2
	c := clustertest.New(t, clustertest.Options{Config: smallSnapshots, Deps: func(m *clustertest.Member, d *cluster.Deps) {
		if m.Index == small {
			d.Logger = slog.New(slog.NewTextHandler(&told, nil))
		}
	}})
	m := c.Member(small)
	m.Stop()
	dir := filepath.Join(m.Dir, "snapshots")
	kept := filepath.Join(t.TempDir(), "kept")
	if err := os.CopyFS(kept, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("mount tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("take %s off: %v", dir, err)
		}
	})
	if err := os.CopyFS(dir, os.DirFS(kept)); err != nil {
		t.Fatal(err)
	}
	m.Start()
	c.WaitReady(m)
	for seq := uint64(1); told.count("no space left on device") < 3; seq++ {
		putLease(t, c, seq, int(seq)*60, 60)
	}
	if m.Err() != nil || len(m.Node().Reasons()) > 0 {
		t.Errorf("node without space for snapshots: %v, %v", m.Err(), m.Node().Reasons())
	}
	c.RequireSameState()
	c.Until("nothing stays of what was begun", func() bool {
		left, err := filepath.Glob(filepath.Join(dir, "*.tmp"))
		return err == nil && len(left) == 0
	})
	before := len(snapshotDirs(t, m.Dir))
	if err := unix.Mount("tmpfs", dir, "", unix.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	applied := m.FSM().Applied()
	for seq := uint64(1); ; seq++ {
		all := snapshotDirs(t, m.Dir)
		if len(all) > 0 && order(all[0])[1] >= applied {
			break
		}
		put(t, c, func() []byte { return lease(t, 2, seq, int(seq), 1, 3600) })
	}
	if err := m.Err(); err != nil || before > 2 {
		t.Errorf("%v; %d snapshots on a disk for less than one", err, before)
	}
	m.Restart()
	c.WaitReady(m)
	c.RequireSameState()
	if err := errors.Join(m.Err()); err != nil {
		t.Error(err)
	}
}
