package kea

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// bell wakes a follower.
type bell interface {
	// wait returns when something may have changed, when asked is received from, and after at most so long.
	wait(ctx context.Context, ring <-chan struct{}, most time.Duration) (wakeup, error)
	close() error
}

// wakeup is why wait returned.
type wakeup int

const (
	woken   wakeup = iota // time went by
	changed               // something happened to the files
	rung                  // somebody asks for a full statement
)

// folderBell is told by the kernel of what happens in the lease file's folder. What the kernel does not tell of (a network file
// system, a link to a file elsewhere, too few watches) is left to waiting for at most so long.
type folderBell struct {
	folder  string
	name    string
	logger  *slog.Logger
	watcher *fsnotify.Watcher // nil: the kernel has none left
	watched fs.FileInfo       // the folder that is watched; nil: none
	told    bool              // that there is no watch
}

func newFolderBell(path string, logger *slog.Logger) bell {
	b := &folderBell{folder: filepath.Dir(path), name: filepath.Base(path), logger: logger}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		b.complain(err)
		return b
	}
	b.watcher = watcher
	b.watch()
	return b
}

func (b *folderBell) complain(err error) {
	if !b.told {
		b.logger.Warn("The kernel does not tell of changes of the lease file: it is looked at now and then", "folder", b.folder, "error", err)
	}
	b.told = true
}

// watch watches the folder that has the name now.
func (b *folderBell) watch() {
	if b.watcher == nil {
		return
	}
	now, err := os.Stat(b.folder)
	switch {
	case err != nil:
		b.watched = nil // the follower tells of that
		return
	case b.watched != nil && os.SameFile(now, b.watched):
		return
	case b.watched != nil:
		if err := b.watcher.Remove(b.folder); err != nil && !errors.Is(err, fsnotify.ErrNonExistentWatch) {
			b.complain(err)
		}
	}
	b.watched = nil
	if err := b.watcher.Add(b.folder); err != nil {
		b.complain(err)
		return
	}
	b.watched = now
}

func (b *folderBell) wait(ctx context.Context, ring <-chan struct{}, most time.Duration) (wakeup, error) {
	var events <-chan fsnotify.Event
	var failures <-chan error
	if b.watcher != nil {
		events, failures = b.watcher.Events, b.watcher.Errors
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return woken, context.Cause(ctx)
		case <-ring:
			return rung, nil
		case <-timer.C:
			b.watch()
			return woken, nil
		case err := <-failures:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				b.complain(err)
			}
			return changed, nil
		case e := <-events:
			if filepath.Clean(e.Name) == filepath.Clean(b.folder) {
				b.watched = nil // it was removed or renamed
			} else if !strings.HasPrefix(filepath.Base(e.Name), b.name) {
				continue
			}
			return changed, nil
		}
	}
}

func (b *folderBell) close() error {
	if b.watcher == nil {
		return nil
	}
	return b.watcher.Close()
}
