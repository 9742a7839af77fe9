package cluster_test

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/leasehold/leasehold/cluster/clustertest"
)

// TestRestoreOntoFullDisk: what is begun on a disk that is too small is taken away again, and with room the restoration succeeds.
func TestRestoreOntoFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("file systems can be mounted only by root")
	}
	c := clustertest.New(t, clustertest.Options{Voters: 1})
	for i := range 10 {
		putLease(t, c, uint64(i+1), i*1000, 1000)
	}
	m := c.Member(0)
	saved := savedSnapshot(t, m)
	m.Kill()
	m.Wipe()
	if err := os.MkdirAll(m.Dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", m.Dir, "tmpfs", 0, "size=512k"); err != nil {
		t.Skipf("mount tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if m.Running() != nil {
			m.Kill()
		}
		if err := unix.Unmount(m.Dir, unix.MNT_DETACH); err != nil {
			t.Errorf("take %s off: %v", m.Dir, err)
		}
	})
	if len(saved) < 512<<10 {
		t.Fatalf("the snapshot has %d octets, which fit", len(saved))
	}
	if r, err := restoreNode(t, m, saved); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("restored %+v, %v; want no space", r, err)
	}
	requireEmpty(t, m.Dir)
	if err := unix.Mount("tmpfs", m.Dir, "", unix.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	if _, err := restoreNode(t, m, saved); err != nil {
		t.Fatal(err)
	}
	m.Start()
	c.WaitReady(m)
	if got := bindings(t, m); got != 10_000 {
		t.Errorf("%d bindings, want 10000", got)
	}
}
