package doorbell

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit only ends a test that hangs.
const limit = 30 * time.Second

// hang makes a bell, and what it logs.
func hang(t *testing.T, path string) (*Bell, *strings.Builder) {
	t.Helper()
	logged := new(strings.Builder)
	b := New(path, slog.New(slog.NewTextHandler(logged, nil)))
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b, logged
}

func (b *Bell) mustRing(t *testing.T, what string) {
	t.Helper()
	if why, err := b.Wait(t.Context(), nil, limit); why != Changed || err != nil {
		t.Fatalf("%s: woken by %v, %v", what, why, err)
	}
}

// heard is how many things that concern the bell the kernel tells of up to now: up to a file that is made here, because it tells in order.
// The folder is watched.
func (b *Bell) heard(t *testing.T) (n int) {
	t.Helper()
	f, err := os.CreateTemp(b.folder, "mark")
	must(t, err)
	must(t, f.Close())
	end := time.NewTimer(limit)
	defer end.Stop()
	for {
		select {
		case e := <-b.watcher.Events:
			switch {
			case e.Name == f.Name():
				return n
			case b.concerns(e):
				n++
			}
		case <-end.C:
			t.Fatal("the kernel does not tell of a file")
		}
	}
}

// settle waits until nothing is told for a while: then the bell looks which folder has the name.
func (b *Bell) settle(t *testing.T) {
	t.Helper()
	for why := Changed; why != Late; {
		var err error
		if why, err = b.Wait(t.Context(), nil, 20*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(t, err)
	_, err = f.WriteString("x\n")
	must(t, errors.Join(err, f.Close()))
}

func TestWhatHappensToAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases")
	b, logged := hang(t, path)
	for _, deed := range []struct {
		what string
		do   func() error
	}{
		{"create", func() error { return os.WriteFile(path, nil, 0o600) }},
		{"append", func() error { write(t, path); return nil }},
		{"truncate", func() error { return os.Truncate(path, 0) }},
		{"rename away", func() error { return os.Rename(path, path+".1") }},
		{"write what was set aside", func() error { write(t, path+".1"); return nil }},
		{"create a successor", func() error { return os.WriteFile(path+".new", nil, 0o600) }},
		{"rename into place", func() error { return os.Rename(path+".new", path) }},
		{"remove what was set aside", func() error { return os.Remove(path + ".1") }},
		{"permissions", func() error { return os.Chmod(path, 0o640) }},
		{"remove", func() error { return os.Remove(path) }},
	} {
		b.heard(t)
		must(t, deed.do())
		b.mustRing(t, deed.what)
	}
	if logged.Len() > 0 {
		t.Errorf("logged: %s", logged)
	}
}

func TestWhatConcerns(t *testing.T) {
	b := &Bell{folder: "/var/lib/kea", name: "kea-leases6.csv"}
	for name, want := range map[string]bool{
		"/var/lib/kea/kea-leases6.csv":           true,
		"/var/lib/kea/kea-leases6.csv.1":         true,
		"/var/lib/kea/kea-leases6.csv.completed": true,
		"/var/lib/kea/kea-leases6.csv~":          true,
		"/var/lib/kea/kea-leases4.csv":           false,
		"/var/lib/kea/kea-leases6":               false,
		"/var/lib/kea/.kea-leases6.csv":          false,
		"/var/lib/kea":                           true,
	} {
		if got := b.concerns(fsnotify.Event{Name: name, Op: fsnotify.Write}); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestOthersDoNotWake: the file beside it is written to all the time, and the bell rests.
func TestOthersDoNotWake(t *testing.T) {
	folder := t.TempDir()
	b, _ := hang(t, filepath.Join(folder, "leases"))
	for range 10 {
		write(t, filepath.Join(folder, "other"))
		if why, err := b.Wait(t.Context(), nil, time.Millisecond); why != Late || err != nil {
			t.Fatalf("woken by %v, %v", why, err)
		}
	}
}

// TestFolderThatComesAndGoes: whatever becomes of the folder, the one that has its name is watched.
func TestFolderThatComesAndGoes(t *testing.T) {
	root := t.TempDir()
	folder := filepath.Join(root, "lib", "kea")
	path := filepath.Join(folder, "leases")
	b, logged := hang(t, path)
	rings := func(what string) {
		t.Helper()
		b.settle(t)
		write(t, path)
		b.mustRing(t, what)
		b.settle(t)
	}
	must(t, os.MkdirAll(folder, 0o700))
	rings("made after the bell")

	must(t, os.RemoveAll(folder))
	b.mustRing(t, "removed")
	must(t, os.Mkdir(folder, 0o700))
	rings("made anew")

	must(t, os.Rename(folder, folder+".old"))
	b.mustRing(t, "renamed")
	must(t, os.Mkdir(folder, 0o700))
	rings("another in its place")
	b.heard(t)
	write(t, filepath.Join(folder+".old", "leases"))
	if n := b.heard(t); n > 0 {
		t.Errorf("%d things in what was renamed would wake it", n)
	}

	must(t, os.Rename(filepath.Dir(folder), filepath.Join(root, "old"))) // of which the kernel does not tell
	must(t, os.MkdirAll(folder, 0o700))
	rings("another in its parent's place")
	if logged.Len() > 0 {
		t.Errorf("logged: %s", logged)
	}
}

func TestOtherReasons(t *testing.T) {
	b, _ := hang(t, filepath.Join(t.TempDir(), "leases"))
	if why, err := b.Wait(t.Context(), nil, 0); why != Late || err != nil {
		t.Errorf("time: %v, %v", why, err)
	}
	ring := make(chan struct{}, 1)
	ring <- struct{}{}
	if why, err := b.Wait(t.Context(), ring, limit); why != Rung || err != nil {
		t.Errorf("ring: %v, %v", why, err)
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := b.Wait(ctx, nil, limit); !errors.Is(err, cause) {
		t.Errorf("end: %v", err)
	}
}

// TestTroubleOfTheKernel: what was lost may have been the file's, so the bell rings. Only a failure of the watch is told, once.
func TestTroubleOfTheKernel(t *testing.T) {
	b, logged := hang(t, filepath.Join(t.TempDir(), "leases"))
	fail := func(err error) {
		t.Helper()
		go func() { b.watcher.Errors <- err }()
		b.mustRing(t, err.Error())
	}
	fail(fsnotify.ErrEventOverflow)
	if logged.Len() > 0 {
		t.Errorf("logged: %s", logged)
	}
	for range 3 {
		fail(errors.New("broken"))
	}
	if n := strings.Count(logged.String(), "\n"); n != 1 || !strings.Contains(logged.String(), "broken") {
		t.Errorf("logged: %s", logged)
	}
}

// TestNoWatcher: a bell that the kernel gave no watcher rings by time, and gets one when it can.
func TestNoWatcher(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases")
	b := &Bell{folder: filepath.Dir(path), name: filepath.Base(path), logger: slog.New(slog.DiscardHandler)}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if why, err := b.Wait(t.Context(), nil, 0); why != Late || err != nil {
		t.Fatalf("woken by %v, %v", why, err)
	}
	defer b.Close()
	write(t, path)
	b.mustRing(t, "a watcher at last")
}
