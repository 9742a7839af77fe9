package raftlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// TestKilledWhileTheFileWasMade opens files as a process leaves them that is killed while it opens its log for the first time.
func TestKilledWhileTheFileWasMade(t *testing.T) {
	for name, leave := range map[string]func(path string) error{
		"before bbolt wrote":             func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"before the first transaction":   makeEmptyBolt,
		"nothing: there is no file yet":  func(string) error { return nil },
		"after the buckets were written": func(path string) error { l, err := Open(path); return errors.Join(err, l.Close()) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "raft.db")
			if err := leave(path); err != nil {
				t.Fatal(err)
			}
			l := openTest(t, path)
			if err := l.StoreLog(&raft.Log{Index: 1}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestReopenWantsALog opens what has no log, of a node that is known to have had one: it must not begin anew.
func TestReopenWantsALog(t *testing.T) {
	for name, leave := range map[string]func(path string) error{
		"no file":                    func(string) error { return nil },
		"no octet":                   func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"nothing but bbolt's own":    makeEmptyBolt,
		"as before the first octets": func(path string) error { return os.WriteFile(path, make([]byte, 16<<10), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "raft.db")
			if err := leave(path); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the first time must not make what the second believes
				if l, err := Reopen(path); !errors.Is(err, ErrDamaged) {
					t.Fatalf("%v, %v; want that it is damaged", l, err)
				}
			}
		})
	}
	path := filepath.Join(t.TempDir(), "raft.db")
	if err := openTest(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	l, err := Reopen(path)
	if err != nil {
		t.Fatalf("a log without entries: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// makeEmptyBolt leaves the file as bbolt makes it.
func makeEmptyBolt(path string) error {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	return db.Close()
}

// TestErrorsOfTheSystemAreNotDamage hands on what bbolt says when it cannot lock or map a file.
func TestErrorsOfTheSystemAreNotDamage(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENOLCK, syscall.ENOMEM} {
		if err := blame("raft.db", fmt.Errorf("open: %w", errno)); !errors.Is(err, errno) || errors.Is(err, ErrDamaged) {
			t.Errorf("%v: %v", errno, err)
		}
	}
	if err := blame("raft.db", errSum); !errors.Is(err, ErrDamaged) {
		t.Errorf("checksum: %v", err)
	}
}
